"use strict";
// All text enters by textContent: worker names and plugin errors are strangers' words.
const make = (tag, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
};
const si = (value, unit) => {
  const steps = ["", "k", "M", "G", "T", "P", "E", "Z"];
  let step = 0;
  while (value >= 1000 && step < steps.length - 1) { value /= 1000; step += 1; }
  return `${value >= 100 || step === 0 ? value.toFixed(0) : value.toFixed(2)} ${steps[step]}${unit}`;
};
const units = (amount) => amount.toLocaleString("en");
// A long amount may break behind a comma, never inside three digits.
const breakable = (text) => String(text).replaceAll(",", ",\u200b");
const ago = (time) => {
  const seconds = Math.max(0, (Date.now() - time) / 1000);
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} d ago`;
};
const figures = (pairs) => {
  const list = make("dl", undefined, "figures");
  for (const [name, value] of pairs) {
    const box = make("div");
    box.append(make("dt", name), make("dd", breakable(value)));
    list.append(box);
  }
  return list;
};
const table = (title, columns, rows, none) => {
  const part = document.createDocumentFragment();
  part.append(make("h3", title));
  if (rows.length === 0) { part.append(make("p", none, "empty")); return part; }
  const frame = make("div", undefined, "table"), grid = make("table"), head = make("tr");
  for (const [name, kind] of columns) head.append(make("th", name, kind));
  grid.append(head);
  for (const row of rows) {
    const line = make("tr");
    row.forEach((value, index) => {
      const cell = make("td", String(value), columns[index][1]);
      cell.title = String(value);
      line.append(cell);
    });
    grid.append(line);
  }
  frame.append(grid);
  part.append(frame);
  return part;
};
const ask = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok && answer.status !== 503) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
};
const show = (pool, blocks, miners, payments) => {
  const part = make("section");
  part.append(make("h2", `${pool.name} · ${pool.network}`));
  part.append(make("p", "Amounts are in the chain's base units.", "empty"));
  for (const reason of pool.not_ready) part.append(make("p", reason, "bad"));
  const next = pool.policy.next;
  if (next) {
    const named = (policy) => [policy.scheme.name, ...policy.fees.map((fee) => fee.name)].join(" with ");
    const notice = make("p", `${named(next)} takes over from ${named(pool.policy)} behind the first block found from ${new Date(next.not_before).toLocaleString()} on.`, "notice");
    if (next.reason) notice.append(` ${next.reason}`);
    if (next.claims_lost.length > 0) notice.append(` No longer claimed: ${next.claims_lost.join(", ")}.`);
    if (next.claims_gained.length > 0) notice.append(` Newly claimed: ${next.claims_gained.join(", ")}.`);
    part.append(notice);
  }
  part.append(figures([
    ["Hashrate, 5 min", si(pool.hashrate.five_minutes, "H/s")], ["Hashrate, 1 h", si(pool.hashrate.hour, "H/s")],
    ["Connections", pool.connections], ["Height", pool.coord], ["Effort", `${pool.effort_percent.toFixed(0)} %`],
    ["Blocks", pool.blocks], ["Shares", pool.shares.accepted.toLocaleString("en")],
    ["Refused", (pool.shares.stale + pool.shares.duplicate + pool.shares.low_difficulty + pool.shares.invalid).toLocaleString("en")],
    ["Income", units(pool.money.income)], ["Credited", units(pool.money.credited)], ["Paid", units(pool.money.paid)],
    ["Fees", units(pool.money.fees)], ["Immature", units(pool.money.immature)],
    ["Conserved", pool.money.conserved ? "to the unit" : "NO: stop paying"],
  ]));
  part.append(table("Miners", [["Address", "long"], ["5 min", "number"], ["Shares", "number"], ["Payable", "number"], ["Immature", "number"], ["Paid", "number"]],
    miners.map((m) => [m.address, si(m.hashrate.five_minutes, "H/s"), m.shares.accepted, units(m.payable), units(m.immature), units(m.paid)]), "Nobody mines yet."));
  part.append(table("Blocks", [["Height", "number"], ["Block", "long"], ["Found", ""], ["By", "long"], ["Fate", ""], ["Income", "number"]],
    blocks.map((b) => [b.coord, b.block, ago(b.time), b.worker ? `${b.finder}.${b.worker}` : b.finder, b.fate, units(b.income)]), "No block yet."));
  part.append(table("Payments", [["No.", "number"], ["State", ""], ["Amount", "number"], ["Payees", "number"], ["Transaction", "long"], ["When", ""]],
    payments.map((p) => [p.id, p.state, units(p.amount), p.outputs, p.txid ?? "", ago(p.time)]), "No payment yet."));
  part.append(table("Plugins", [["Role", ""], ["Name", ""], ["State", ""], ["Digest", ""], ["First error", "long"]],
    pool.plugins.map((p) => [p.role, p.name, p.state, p.digest.slice(0, 12), p.first_error ?? ""]), "None."));
  if (pool.shadows.length > 0) {
    const more = (both) => `${both.other >= both.actual ? "+" : ""}${units(both.other - both.actual)}`;
    part.append(table("In shadow, beside the ledger", [["Name", ""], ["Scheme", "long"], ["Fee", "long"], ["State", ""], ["Incomes", "number"], ["Miners", "number"], ["Difference", "number"], ["Operator", "number"], ["Difference", "number"]],
      pool.shadows.map((s) => [s.name, s.scheme, s.fees.join(", ") || "none", s.why ?? s.state, s.incomes, units(s.miners.other), more(s.miners), units(s.operator.other), more(s.operator)]), "None."));
  }
  if (pool.trusted_to_adapter.length > 0) {
    part.append(make("h3", "Trusted to the adapter"));
    const list = make("ul");
    for (const fact of pool.trusted_to_adapter) list.append(make("li", fact));
    part.append(list);
  }
  return part;
};
const refresh = async () => {
  const state = document.getElementById("state");
  try {
    const [pools, alarms] = await Promise.all([ask("/api/v1/pools"), ask("/api/v1/alarms")]);
    const parts = await Promise.all(pools.map(async (pool) => {
      const base = `/api/v1/pools/${encodeURIComponent(pool.name)}`;
      const [blocks, miners, payments] = await Promise.all(
        [ask(`${base}/blocks?limit=10`), ask(`${base}/miners?limit=20`), ask(`${base}/payments?limit=10`)]);
      return show(pool, blocks, miners, payments);
    }));
    document.getElementById("pools").replaceChildren(...parts);
    const ready = pools.every((pool) => pool.not_ready.length === 0);
    state.textContent = ready ? "ready" : "not ready";
    state.className = ready ? "ok" : "bad";
    const box = document.getElementById("alarms");
    box.hidden = alarms.length === 0;
    box.querySelector("ul").replaceChildren(...alarms.slice(-20).reverse().map((alarm) =>
      make("li", `${ago(alarm.last)} · ${alarm.pool} ${alarm.about}: ${alarm.text}`, alarm.level === "critical" ? "bad" : "")));
  } catch (error) {
    state.textContent = `no answer (${error.message})`;
    state.className = "bad";
  }
};
refresh();
setInterval(refresh, 3000);
