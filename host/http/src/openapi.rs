//! The API's description. A test asks the running server for every path in it and compares the keys.

use millpond_pool::STATEMENT_ROWS;
use millpond_pool::proofs::MOST_HEADS;
use millpond_pool::view::StratumCounters;
use serde_json::{Value, json};

/// The OpenAPI 3.1 document.
#[must_use]
pub fn document() -> Value {
    let amount =
        || json!({"type": "integer", "minimum": 0, "description": "base units of the chain (satoshi)"});
    let time = || json!({"type": "integer", "description": "milliseconds since 1970-01-01T00:00:00Z"});
    let number = |about: &str| json!({"type": "number", "description": about});
    let count = |about: &str| json!({"type": "integer", "minimum": 0, "description": about});
    let text = |about: &str| json!({"type": "string", "description": about});
    let deferred = || json!({"type": ["integer", "null"], "description": "where coinbases pay many: due and left to later blocks, below zero paid ahead; null elsewhere"});
    let flag = |about: &str| json!({"type": "boolean", "description": about});
    let texts = |about: &str| json!({"type": "array", "items": {"type": "string"}, "description": about});
    let list =
        |name: &str| json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}});
    let link = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let limit = json!({"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 1000, "default": 100}});
    let next = |name: &str, kind: &str, about: &str| json!([limit.clone(), {"name": name, "in": "query", "schema": {"type": kind}, "description": about}]);
    let blocks = next("before", "string", "id of the last block of the page before");
    let payments = next("before", "integer", "number of the last payment of the page before");
    let entries = next("before", "integer", "`seq` of the last entry of the page before");
    let statement = json!([
        {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": STATEMENT_ROWS, "default": STATEMENT_ROWS}},
        {"name": "before", "in": "query", "schema": {"type": "integer"}, "description": "`next` of the page before"}]);
    let heads = json!([
        {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": MOST_HEADS, "default": MOST_HEADS}},
        {"name": "before", "in": "query", "schema": {"type": "integer"}, "description": "number of the last head of the page before"}]);
    let size = |name: &str| {
        json!({"name": name, "in": "query", "required": true, "schema": {"type": "integer"},
        "description": "entries of a history, as a head's size"})
    };
    let sizes = json!([size("from"), size("to")]);
    let last = json!([limit.clone()]);
    let ranks = next("skip", "integer", "miners to leave out, the best ones first");
    let get = |about: &str, schema: Value, parameters: &Value| {
        json!({"get": {"summary": about, "parameters": parameters, "responses": {
            "200": {"description": about, "content": {"application/json": {"schema": schema}}},
            "404": {"description": "no such pool or miner", "content": {"application/json": {"schema":
                {"type": "object", "properties": {"error": {"type": "string"}}}}}},
            "429": {"description": "too many requests from this address"}}}})
    };
    let none = json!([]);
    let counters: serde_json::Map<String, Value> = StratumCounters::default()
        .all()
        .into_iter()
        .map(|counter| (counter.name.to_owned(), count(counter.about)))
        .collect();
    let asked = json!([{"name": "minimum_payout", "in": "query", "schema": {"type": "integer", "minimum": 0},
        "description": "base units; without it the pool's own minimum"}]);
    let mut settings = get("what a miner signs to set his minimum payout", link("SettingText"), &asked);
    if let Some(methods) = settings.as_object_mut() {
        let answer = |about: &str| json!({"description": about});
        methods.insert("post".to_owned(), json!({"summary": "a change of a miner's settings that he signed",
            "requestBody": {"required": true, "content": {"application/json": {"schema": link("SettingChange")}}},
            "responses": {"200": {"description": "changed, and recorded in the pool's hash chain",
                "content": {"application/json": {"schema": link("MinerSettings")}}},
                "403": answer("not signed by this address, or another text"),
                "404": answer("no such pool or miner"), "409": answer("used, or overtaken by another change"),
                "410": answer("expired"), "422": answer("out of the operator's bounds"),
                "429": answer("too many requests from this address, or changes of this miner within a day"),
                "501": answer("signatures of this chain cannot be checked")}}));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": "Millpond", "version": env!("CARGO_PKG_VERSION"),
            "description": "A pool runtime. Everything reads, except POST /api/v1/admin, which needs a token, and POST \
            .../miners/{address}/settings, which needs a signature of the miner's address."},
        "paths": {
            "/health": get("the process lives", link("Health"), &none),
            "/ready": get("whether miners are served; 503 with reasons when not", link("Ready"), &none),
            "/api/v1/alarms": get("alarms kept, newest last", list("Alarm"), &none),
            "/api/v1/pools": get("all pools", list("Pool"), &none),
            "/api/v1/pools/{pool}": get("one pool", link("Pool"), &none),
            "/api/v1/pools/{pool}/blocks": get("blocks found, the newest 1,000, newest first", list("Block"), &blocks),
            "/api/v1/pools/{pool}/payments": get("payments, newest first", list("Payment"), &payments),
            "/api/v1/pools/{pool}/payments/{payment}":
                get("one payment, with whom it pays", link("PaymentDetail"), &none),
            "/api/v1/pools/{pool}/miners": get("miners of the last day, by rate", list("Miner"), &ranks),
            "/api/v1/pools/{pool}/miners/{address}": get("one miner", link("Miner"), &none),
            "/api/v1/pools/{pool}/miners/{address}/entries":
                get("a miner's account, newest first", list("Entry"), &entries),
            "/api/v1/pools/{pool}/miners/{address}/statement":
                get("a miner's account with the proofs of his parts, newest first", link("Statement"), &statement),
            "/api/v1/pools/{pool}/miners/{address}/statements/{seq}":
                get("a miner's statement of one entry of the ledger, for `millpond verify-statement`; 410 when its evidence \
                    is gone, 503 while no head has it", link("StatementDocument"), &none),
            "/api/v1/pools/{pool}/miners/{address}/receipts":
                get("a miner's receipts up to now, oldest first: from the first time that somebody asks on they are made, until \
                    nobody has asked for a day; keep them", list("SignedReceipt"), &none),
            "/api/v1/pools/{pool}/heads": get("signed heads, newest first", list("SignedHead"), &heads),
            "/api/v1/pools/{pool}/heads/latest": get("the newest head", link("SignedHead"), &none),
            "/api/v1/pools/{pool}/heads/{number}": get("one head", link("SignedHead"), &none),
            "/api/v1/pools/{pool}/heads/consistency":
                get("that one history continues another", link("Consistency"), &sizes),
            "/api/v1/pools/{pool}/miners/{address}/shadow":
                get("what a miner would have earned under each policy in shadow", list("MinerShadow"), &none),
            "/api/v1/pools/{pool}/shadow":
                get("policies in shadow, with their last incomes, newest first", list("Shadow"), &last),
            "/api/v1/pools/{pool}/miners/{address}/settings": settings,
            "/api/v1/admin": admin(&text, &count, &flag),
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": {
            "Health": object(json!({"status": text("ok")})),
            "Ready": object(json!({"ready": flag("all pools serve miners"), "reasons": texts("why not")})),
            "Alarm": object(json!({"time": time(), "last": time(), "times": count("how often it was raised"),
                "level": text("warning or critical"), "pool": text("empty for the process"),
                "about": text("a stable word"), "text": text("a sentence")})),
            "Hashrate": object(json!({"five_minutes": number("hashes a second"), "hour": number("hashes a second"),
                "day": number("hashes a second")})),
            "Shares": object(json!({"accepted": count("credited"), "stale": count("too late"),
                "duplicate": count("counted before"), "low_difficulty": count("above their target"),
                "invalid": count("refused for another reason")})),
            "Money": object(json!({"income": amount(), "credited": amount(), "fees": amount(), "paid": amount(),
                "carried": {"type": "integer", "description": "base units; below zero while PPS credit exceeds income"},
                "operator_loss": amount(), "advanced": amount(), "immature": amount(),
                "conserved": flag("income + operator_loss + advanced = credited + fees + carried, to the unit")})),
            "Stratum": object(Value::Object(counters)),
            "Plugin": object(json!({"role": text("adapter, scheme or fee"), "name": text("as configured"),
                "digest": text("blake3 of the component"), "state": text("running, quarantined, ..."),
                "first_error": {"type": ["string", "null"], "description": "since it was loaded"}})),
            "Pool": object(json!({"name": text("its name"), "network": text("the chain's network"),
                "coord": count("height or score of the current job"), "not_ready": texts("why miners are not served"),
                "hashrate": link("Hashrate"), "shares": link("Shares"), "connections": count("open"),
                "unread": object(json!({"connections": count("that do not read"), "bytes": count("that wait for them, beside the kernel's")})),
                "bodies": object(json!({"whole": count("bytes of the node's answers that its jobs keep whole"), "pieces": count("bytes of the pieces that older answers share")})),
                "stratum": link("Stratum"),
                "effort_percent": number("100 is par"), "blocks": count("incomes of blocks in the ledger, lost ones too"), "money": link("Money"),
                "plugins": list("Plugin"), "policy": link("Policy"), "trusted_to_adapter": texts("facts that the adapter alone vouches for"),
                "disk_days_left": {"type": ["number", "null"], "description": "at the present rate"},
                "journal_bytes": {"type": "integer"},
                "shares_dropped_to": {"type": "integer", "description": "the last share that was dropped, 0 for none"},
                "shadows": list("Shadow")})),
            "Block": object(json!({"block": text("its id"), "coord": count("height or score"), "time": time(),
                "finder": text("address"), "worker": text("name"), "verdicts": texts("of the nodes"),
                "fate": text("submitted, pending, accepted, orphan or final"), "income": amount(),
                "mature": flag("can be paid out")})),
            "Payment": object(json!({"id": count("its number"), "state": text("where it stands"),
                "outputs": count("payees"), "amount": amount(), "fee": amount(),
                "txid": {"type": ["string", "null"]},
                "marker": {"type": ["string", "null"], "description": "in the history of a wallet that can only send"},
                "why": {"type": ["string", "null"], "description": "of one that is unknown, released or undone"}, "time": time()})),
            "PaymentDetail": object(json!({"id": count("its number"), "state": text("where it stands"),
                "outputs": count("payees"), "amount": amount(), "fee": amount(),
                "txid": {"type": ["string", "null"]},
                "marker": {"type": ["string", "null"], "description": "in the history of a wallet that can only send"},
                "why": {"type": ["string", "null"], "description": "of one that is unknown, released or undone"}, "time": time(), "rows": list("PaymentRow")})),
            "PaymentRow": object(json!({"owner": text("the ledger's owner"), "address": text("where it goes"),
                "amount": amount()})),
            "SumNode": object(json!({"hash": text("of what it commits to"), "sum": amount()})),
            "ProofStep": object(json!({"sibling": link("SumNode"), "left": flag("the sibling stands on the left")})),
            "IncomeProof": object(json!({"key": text("the income's"), "owner": text("m and the miner's number"),
                "part": amount(), "path": list("ProofStep"), "root": link("SumNode")})),
            "ProvenEntry": object(json!({"seq": count("the ledger's record"), "time": time(),
                "what": text("income, shares, payment or adjustment"), "about": text("key, shares, number or reason"),
                "amount": {"type": "integer", "description": "base units; below zero when it went out"},
                "state": text("of the income or payment, or booked"), "record": text("blake3 of the ledger's record"),
                "proof": link("IncomeProof")})),
            "Statement": object(json!({"address": text("his address"), "owner": text("m and his number"),
                "payable": amount(), "immature": amount(), "paid": amount(), "entries": list("ProvenEntry"),
                "next": {"type": ["integer", "null"], "description": "`before` of the next page; null after the last one"}})),
            "Worker": object(json!({"name": text("its name"), "hashrate": link("Hashrate"), "shares": link("Shares"),
                "last_share": time()})),
            "Entry": object(json!({"seq": count("the ledger's record"), "time": time(),
                "what": text("income, shares, payment or adjustment"), "about": text("key, shares, number or reason"),
                "amount": {"type": "integer", "description": "base units; below zero when it went out"},
                "state": text("of the income or payment, or booked")})),
            "SettingText": object(json!({"address": text("his address"),
                "minimum_payout": {"type": ["integer", "null"], "description": "as asked for; null: the pool's own"},
                "least": amount(), "most": {"type": ["integer", "null"], "description": "null: no bound"},
                "issued": time(), "expires": time(), "message": text("to be signed, to the letter")})),
            "SettingChange": {"type": "object", "required": ["issued", "signature"], "properties": {
                "minimum_payout": {"type": ["integer", "null"], "description": "as in the text that was signed"},
                "issued": time(), "signature": text("base64: signmessage, or BIP 322 simple")}},
            "MinerSettings": object(json!({"address": text("his address"), "minimum_payout": amount()})),
            "Miner": object(json!({"address": text("his address"), "payable": amount(), "immature": amount(),
                "paid": amount(), "minimum_payout": amount(), "hashrate": link("Hashrate"), "shares": link("Shares"),
                "deferred": deferred(),
                "workers": list("Worker")})),
        }},
    });
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.extend(shadow());
        schemas.extend(proofs());
    }
    document
}

/// What miners verify without the pool; docs/proofs.md has it to the byte.
fn proofs() -> serde_json::Map<String, Value> {
    let text = |about: &str| json!({"type": "string", "description": about});
    // Told in docs/proofs.md and not here again.
    let inner = |about: &str| json!({"type": "object", "additionalProperties": true, "description": about});
    let hashes = |about: &str| json!({"type": "array", "items": {"type": "string"}, "description": about});
    let schemas = [
        (
            "SignedHead",
            json!({"body": inner("what the pool says its ledger is"), "signature": text("Ed25519 over the body's hash")}),
        ),
        (
            "SignedReceipt",
            json!({"body": inner("how many shares of a connection were counted, from which to which, and their work"),
                "signature": text("Ed25519 over the body's hash")}),
        ),
        (
            "Consistency",
            json!({"from": text("entries of the shorter history"), "to": text("of the longer"), "path": hashes("from the one to the other")}),
        ),
        (
            "StatementDocument",
            json!({"millpond_statement": {"type": "integer"}, "address": text("his address"), "owner": text("m and his number"),
                "commitment": inner("what the entry says"), "credit": inner("his part; absent where nothing is divided"),
                "work": {"type": "array", "items": inner("his work in a window")}, "entry": inner("its place in ledger and history"),
                "head": {"$ref": "#/components/schemas/SignedHead"}}),
        ),
    ];
    let object = |(name, properties): (&str, Value)| {
        (name.to_owned(), json!({"type": "object", "properties": properties}))
    };
    schemas.map(object).into_iter().collect()
}

/// Policies in shadow.
fn shadow() -> serde_json::Map<String, Value> {
    let sum = |about: &str| json!({"type": "integer", "description": format!("base units, {about}")});
    let count = |about: &str| json!({"type": "integer", "minimum": 0, "description": about});
    let text = |about: &str| json!({"type": "string", "description": about});
    let link = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let both = || json!({"actual": sum("by the ledger"), "other": sum("by the other policy")});
    let names = |about: &str| json!({"type": "array", "items": {"type": "string"}, "description": about});
    let fees = || names("its fee policies in the order in which they apply, likewise");
    let mut miner = both();
    if let Some(properties) = miner.as_object_mut() {
        properties.insert("name".to_owned(), text("of the shadow"));
        properties.insert("scheme".to_owned(), text("and the start of its digest"));
        properties.insert("fees".to_owned(), fees());
        properties.insert("newest".to_owned(), count("the share up to which both are compared"));
    }
    let decides = || {
        json!({"scheme": link("PolicyPlugin"),
            "fees": {"type": "array", "items": link("PolicyPlugin"), "description": "in the order in which they apply"}})
    };
    let with = |mut properties: Value, more: Value| {
        if let (Some(properties), Some(more)) = (properties.as_object_mut(), more.as_object()) {
            properties.extend(more.clone());
        }
        properties
    };
    let time = |about: &str| count(&format!("milliseconds since 1970-01-01T00:00:00Z, {about}"));
    let schemas = [
        (
            "PolicyPlugin",
            json!({"name": text("as configured"), "digest": text("blake3 of the component"),
                "settings": {"type": "object", "additionalProperties": true, "description": "by name: text, whole numbers, true or false"}}),
        ),
        (
            "Policy",
            with(
                decides(),
                json!({"from": count("incomes whose windows end behind this share are divided by it"),
                "since": time("since when"), "follows": link("FollowedPolicy"), "next": link("NextPolicy")}),
            ),
        ),
        (
            "FollowedPolicy",
            with(
                decides(),
                json!({"up_to": count("work up to this share is its to pay, as far as its windows reach"),
                "incomes_left": count("so many incomes more, at the most")}),
            ),
        ),
        (
            "NextPolicy",
            with(
                decides(),
                json!({"announced": time("when it was announced"),
                "not_before": time("blocks that were found before are divided by the policy in force"),
                "reason": text("the operator's words; may be empty"), "takes_over": text("when, and who pays for work of before, as a sentence"),
                "claims_lost": names("what the scheme in force claims and this one does not"),
                "claims_gained": names("what this scheme claims and the one in force does not")}),
            ),
        ),
        ("Both", both()),
        ("MinerShadow", miner),
        (
            "Reserve",
            json!({"declared": sum("at the beginning"), "least": sum("that was in it"), "left": sum("at the end"),
                "spent_at": {"type": ["integer", "null"], "description": "the first share that it could not pay for"},
                "unpaid_shares": count("not paid for at the end")}),
        ),
        (
            "ShadowIncome",
            json!({"key": text("the income's"), "end": count("the share that ends its windows"),
                "time": count("milliseconds since 1970-01-01T00:00:00Z"), "coord": count("height or score"),
                "amount": sum("that the chain paid"), "stands": {"type": "boolean"}, "miners": link("Both")}),
        ),
        (
            "Shadow",
            json!({"name": text("as configured"), "scheme": text("and the start of its digest"), "fees": fees(),
                "state": text("reading, following or stopped"),
                "why": {"type": ["string", "null"], "description": "it was stopped"},
                "since": count("the share behind which it begins"),
                "newest": count("the share up to which it has divided"), "incomes": count("that it divided"),
                "waiting": count("incomes that are known and in neither sum: they wait for what may come before them, or are not divided yet"),
                "left_out": count("incomes at its beginning whose shares are no longer kept"),
                "standing": link("Both"), "miners": link("Both"), "operator": link("Both"), "carry": link("Both"),
                "reserve": link("Reserve"),
                "last": {"type": "array", "items": link("ShadowIncome")}}),
        ),
    ];
    let object = |(name, properties): (&str, Value)| {
        (name.to_owned(), json!({"type": "object", "properties": properties}))
    };
    schemas.map(object).into_iter().collect()
}

/// The door of commands.
fn admin(text: &dyn Fn(&str) -> Value, count: &dyn Fn(&str) -> Value, flag: &dyn Fn(&str) -> Value) -> Value {
    let fields = json!({
        "command": {"type": "string", "enum": ["status", "plugin_swap", "plugin_release", "shadow_promote", "policy_cancel", "alarms_list", "alarms_clear",
            "reload", "backup", "miners_list", "miners_message", "miners_reconnect", "bans_list", "bans_add",
            "bans_lift", "payments_list", "payments_show", "payments_dry_run", "payments_run", "payments_resume", "payments_resolve", "payments_release",
            "payments_undo", "payments_reconcile",
            "miner_minimum"]},
        "pool": text("its name; of all commands but status, reload, backup and alarms_list"),
        "role": text("adapter, scheme or fee: of plugin_swap and plugin_release"),
        "plugin": text("a bundled name or a path: of plugin_swap"),
        "name": text("a shadow: of shadow_promote"),
        "not_before": count("milliseconds since 1970, not before the end of the configured notice: of shadow_promote; may be left out"),
        "reason": text("for the pool's miners, on one line: of plugin_swap, shadow_promote and policy_cancel; may be left out"),
        "about": text("as the alarm says: of alarms_clear"),
        "dry_run": flag("of reload"),
        "text": text("up to 200 characters on one line: of miners_message"),
        "host": text("where to: of miners_reconnect"),
        "port": count("there: of miners_reconnect"),
        "wait": count("seconds before: of miners_reconnect"),
        "address": text("an IP address: of bans_add and bans_lift; the miner's of miner_minimum"),
        "minimum": {"type": ["integer", "null"], "description": "base units: of miner_minimum"},
        "payment": count("its number: of payments_show, payments_resolve, payments_release and payments_undo"),
        "wallet_restarted": flag("of payments_release: the wallet was started anew since the call, so that none waits in it"),
        "why": text("what happened, as the ledger is to keep it: of payments_undo"),
        "again": {"type": "array", "items": {"type": "integer"}, "description": "open payments that were certainly not \
            paid since the backup: of payments_resume"},
        "resolution": {"description": "\"not_paid\" or {\"paid\": {\"txid\": ..., \"as_made\": bool}}: of \
            payments_resolve; as_made books a transaction that pays otherwise than was asked"}
    });
    let body = json!({"type": "object", "required": ["ask"], "properties": {"code": {"type": "string"},
        "ask": {"type": "object", "required": ["command"], "properties": fields}}});
    json!({"post": {"summary": "a command; what changes money answers 202 with a code and is done when it comes again \
        with it", "security": [{"token": []}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "done"}, "202": {"description": "confirm"},
            "401": {"description": "no token"}, "403": {"description": "scope too narrow"},
            "409": {"description": "not done, with the reason"}}}})
}
