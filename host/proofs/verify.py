#!/usr/bin/env python3
"""A second implementation of docs/proofs.md, to hold the first against. It needs nothing but Python.

    python3 verify.py                             runs all vectors beside this file
    python3 verify.py STATEMENT KEY [ADDRESS]     verifies a statement against a pool's key in hex, and whose it is

Exit code 0: all is good. 1: something is wrong. 2: the arguments are wrong, or a file cannot be read.

It follows the document and shares no code with the crate: BLAKE3 and Ed25519 are below, slow and short.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

# BLAKE3 in its modes for hashing and for the derivation of keys, as its paper has it.

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
START, END, PARENT, ROOT_FLAG, OF_CONTEXT, OF_MATERIAL = 1, 2, 4, 8, 32, 64
WORD = 0xFFFFFFFF


def compress(chain, block, counter, length, flags):
    """The first eight words that a block leads to from a chaining value."""
    state = [*chain, *IV[:4], counter & WORD, counter >> 32, length, flags]
    words = [int.from_bytes(block[at : at + 4], "little") for at in range(0, 64, 4)]
    for _ in range(7):
        for step, (a, b, c, d) in enumerate(COLUMNS + DIAGONALS):
            for word, first, second in ((words[2 * step], 16, 12), (words[2 * step + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & WORD
                turned = state[d] ^ state[a]
                state[d] = (turned >> first | turned << (32 - first)) & WORD
                state[c] = (state[c] + state[d]) & WORD
                turned = state[b] ^ state[c]
                state[b] = (turned >> second | turned << (32 - second)) & WORD
        words = [words[at] for at in ORDER]
    return [state[at] ^ state[at + 8] for at in range(8)]


def blake3(data, key=IV, flags=0):
    def of_chunk(piece, counter, last):
        chain, blocks = key, [piece[at : at + 64] for at in range(0, len(piece), 64)] or [b""]
        for at, block in enumerate(blocks):
            ends = at + 1 == len(blocks)
            marks = flags | START * (at == 0) | END * ends | ROOT_FLAG * (ends and last)
            chain = compress(chain, block.ljust(64, b"\0"), counter, len(block), marks)
        return chain

    def of_range(first, count, last):
        if count == 1:
            return of_chunk(data[first * 1024 : first * 1024 + 1024], first, last)
        half = 1 << ((count - 1).bit_length() - 1)
        both = of_range(first, half, False) + of_range(first + half, count - half, False)
        block = b"".join(word.to_bytes(4, "little") for word in both)
        return compress(key, block, 0, 64, flags | PARENT | ROOT_FLAG * last)

    words = of_range(0, max(1, (len(data) + 1023) // 1024), True)
    return b"".join(word.to_bytes(4, "little") for word in words)


CONTEXTS = {}


def derived(context, data):
    if context not in CONTEXTS:
        key = blake3(context.encode(), flags=OF_CONTEXT)
        CONTEXTS[context] = tuple(int.from_bytes(key[at : at + 4], "little") for at in range(0, 32, 4))
    return blake3(data, CONTEXTS[context], OF_MATERIAL)


# Ed25519 (RFC 8032, 5.1), points in extended coordinates.

FIELD = 2**255 - 19
GROUP = 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, -1, FIELD) % FIELD
NEUTRAL = (0, 1, 1, 0)


def plus(one, other):
    a = (one[1] - one[0]) * (other[1] - other[0]) % FIELD
    b = (one[1] + one[0]) * (other[1] + other[0]) % FIELD
    c = 2 * one[3] * other[3] * CURVE % FIELD
    d = 2 * one[2] * other[2] % FIELD
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % FIELD, g * h % FIELD, f * g % FIELD, e * h % FIELD)


def times(number, point):
    found = NEUTRAL
    while number:
        if number & 1:
            found = plus(found, point)
        point, number = plus(point, point), number >> 1
    return found


def same_point(one, other):
    across = (one[0] * other[2] - other[0] * one[2]) % FIELD
    return across == 0 and (one[1] * other[2] - other[1] * one[2]) % FIELD == 0


def point_of(data):
    """The point, or None for an encoding that is not the one of a point."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= FIELD:
        return None
    square = (y * y - 1) * pow(CURVE * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    if (x * x - square) % FIELD or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = FIELD - x
    return (x, y, 1, x * y % FIELD)


def bytes_of(point):
    inverse = pow(point[2], -1, FIELD)
    x, y = point[0] * inverse % FIELD, point[1] * inverse % FIELD
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = point_of((4 * pow(5, -1, FIELD) % FIELD).to_bytes(32, "little"))


def challenge(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % GROUP


def is_signed(key, data, signature):
    """Strictly: no points of small order, no other encoding of a number."""
    own, point, number = point_of(key), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if own is None or point is None or number >= GROUP:
        return False
    if any(same_point(times(8, one), NEUTRAL) for one in (own, point)):
        return False
    wanted = plus(point, times(challenge(signature[:32], key, data), own))
    return same_point(times(number, BASE), wanted)


def sign(seed, data):
    digest = hashlib.sha512(seed).digest()
    secret = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    key, nonce = bytes_of(times(secret, BASE)), challenge(digest[32:], data)
    point = bytes_of(times(nonce, BASE))
    return point + ((nonce + challenge(point, key, data) * secret) % GROUP).to_bytes(32, "little")


CREDITS, WORK, PAYMENT = 0, 1, 2
TOP = {8: 1 << 8, 16: 1 << 16, 32: 1 << 32, 64: 1 << 64, 128: 1 << 128}
ZEROS = bytes(32)


class Refused(Exception):
    """Why, by the short name of the document."""


def refuse(when, code):
    if when:
        raise Refused(code)


def h(context, data):
    return derived("millpond statement 1 " + context, data)


# Encoding and reading, in one table for each type: (what bytes it has, what JSON it has).


class Num:
    """A number; wider than 32 bits it is a text in JSON."""

    def __init__(self, bits, signed=False):
        self.bits, self.signed = bits, signed

    def read(self, value):
        if self.bits <= 32:
            refuse(type(value) is not int or not 0 <= value < TOP[self.bits], "form")
            return value
        shape = r"-?(0|[1-9][0-9]*)" if self.signed else r"0|[1-9][0-9]*"
        refuse(type(value) is not str or not re.fullmatch(shape, value, re.ASCII) or value == "-0", "form")
        number, half = int(value), TOP[self.bits] // 2
        refuse(not (-half <= number < half if self.signed else 0 <= number < TOP[self.bits]), "form")
        return number

    def put(self, value):
        return value.to_bytes(self.bits // 8, "little", signed=self.signed)


class Flag:
    def read(self, value):
        refuse(type(value) is not bool, "form")
        return value

    def put(self, value):
        return bytes([value])


class Text:
    def read(self, value):
        refuse(type(value) is not str, "form")
        return value

    def put(self, value):
        data = value.encode()
        return len(data).to_bytes(8, "little") + data


class Hex:
    """Bytes in hex: of one length and bare, or of any with their length before them."""

    def __init__(self, length=None):
        self.length = length

    def read(self, value):
        refuse(type(value) is not str or not re.fullmatch(r"([0-9a-fA-F]{2})*", value, re.ASCII), "form")
        data = bytes.fromhex(value)
        refuse(self.length is not None and len(data) != self.length, "form")
        return data

    def put(self, value):
        return value if self.length is not None else len(value).to_bytes(8, "little") + value


class List:
    def __init__(self, item):
        self.item = item

    def read(self, value):
        refuse(type(value) is not list, "form")
        return [self.item.read(item) for item in value]

    def put(self, value):
        return len(value).to_bytes(8, "little") + b"".join(self.item.put(item) for item in value)


class Option:
    def __init__(self, item):
        self.item = item

    def read(self, value):
        return None if value is None else self.item.read(value)

    def put(self, value):
        return b"\0" if value is None else b"\1" + self.item.put(value)


class Fields:
    """Fields in order. Those of `absent` may be missing in JSON and then have the value given."""

    def __init__(self, _absent=None, **fields):
        self.fields, self.absent = fields, _absent or {}

    def read(self, value):
        refuse(type(value) is not dict or set(value) - set(self.fields), "form")
        found = {}
        for name, kind in self.fields.items():
            if name in value:
                found[name] = kind.read(value[name])
            elif isinstance(kind, Option):
                found[name] = None
            else:
                refuse(name not in self.absent, "form")
                found[name] = self.absent[name]
        return found

    def put(self, value):
        return b"".join(kind.put(value[name]) for name, kind in self.fields.items())


class Cases:
    """One of several, by number; with a value or without one. Read as (name, value)."""

    def __init__(self, **cases):
        self.cases = {name.replace("_", "-"): kind for name, kind in cases.items()}

    def read(self, value):
        name, inner = (value, None) if type(value) is str else next(iter(value.items())) if type(value) is dict and len(value) == 1 else ("", None)
        refuse(name not in self.cases, "form")
        kind = self.cases[name]
        refuse((kind is None) != (type(value) is str), "form")
        return (name, kind.read(inner) if kind else None)

    def put(self, value):
        name, inner = value
        kind = self.cases[name]
        return bytes([list(self.cases).index(name)]) + (kind.put(inner) if kind else b"")


U8, U32, U64, U128, I64 = Num(8), Num(32), Num(64), Num(128), Num(64, signed=True)
DIGEST, BYTES, TEXT, FLAG = Hex(32), Hex(), Text(), Flag()

SUM = Fields(hash=DIGEST, sum=U128)
ROOT = Fields(hash=DIGEST, count=U64, sum=U128)
PATH = Fields(index=U64, siblings=List(SUM))
SETTING = Cases(text=TEXT, int=I64, flag=FLAG)
PLUGIN = Fields(name=TEXT, component=DIGEST, settings=List(Fields(name=TEXT, value=SETTING)))
SLICES = Fields(thousandths=U64, step=U64)
SPAN = Cases(
    round=None, finder=None, shares=U64, work=U64, millis=U64, coord=U64, state=None, batch=None, slices=SLICES, unpaid=U64
)
WINDOW = Fields(
    span=SPAN,
    measure=Cases(work=None, units=None, count=None, value=None, subsidy_value=None, fee_value=None),
    edge=Cases(whole=None, split=None, cut=None),
    counted=Option(Fields(first=U64, work=ROOT)),
)
DIVISION = Fields(
    amount=U64,
    carry_in=U64,
    reserve_in=U64,
    direct=FLAG,
    number=U64,
    end=Fields(share=U64, time=U64, coord=U64, network_work=U128, round_after=U64),
    shift=U8,
    windows=List(WINDOW),
    credits=ROOT,
    scheme=PLUGIN,
    fees=List(PLUGIN),
    state_before=DIGEST,
    state_after=DIGEST,
)
UNDOING = Fields(of=DIGEST, reason=TEXT)
WHAT = Cases(
    income=DIVISION,
    accrued=DIVISION,
    payment=Fields(amount=U64, txid=BYTES, rows=ROOT),
    reversed=UNDOING,
    kept=UNDOING,
    reinstated=UNDOING,
    undone=UNDOING,
)
COMMITMENT = Fields(version=U8, pool=DIGEST, subject=BYTES, division=U64, what=WHAT)
ENTRY = Fields(restarts=U32, ledger_seq=U64, commitment=DIGEST)
KIND = Cases(usual=None, new_key=Fields(next=DIGEST), restored=Fields(lost_from=U64, root=DIGEST, reason=TEXT))
ORIGIN = Fields(key=DIGEST, network=TEXT, name=TEXT)
HEAD = Fields(
    version=U8,
    pool=DIGEST,
    origin=ORIGIN,
    number=U64,
    prev=DIGEST,
    kind=KIND,
    restarts=U32,
    time=U64,
    coord=U64,
    tip=BYTES,
    ledger_seq=U64,
    ledger_digest=DIGEST,
    journal_next=U64,
    journal_share=U64,
    journal_chain=DIGEST,
    size=U64,
    root=DIGEST,
    key=DIGEST,
)
SIGNED_HEAD = Fields(body=HEAD, signature=Hex(64))
RECEIPT = Fields(
    version=U8,
    pool=DIGEST,
    key=DIGEST,
    restarts=U32,
    head=U64,
    owner=TEXT,
    address=TEXT,
    connection=Hex(16),
    number=U32,
    prev=DIGEST,
    first=U64,
    last=U64,
    count=U64,
    work=U128,
    shift=U8,
    ids=DIGEST,
    **{"from": U64, "to": U64},
)
SIGNED_RECEIPT = Fields(body=RECEIPT, signature=Hex(64))
PAID = Fields(address=TEXT, charged=U64)
STATEMENT = Fields(
    _absent={"work": []},
    millpond_statement=U8,
    address=TEXT,
    owner=TEXT,
    commitment=COMMITMENT,
    credit=Option(Fields(value=U128, salt=DIGEST, path=PATH, paid=Option(PAID))),
    work=List(Fields(window=U8, value=U128, salt=DIGEST, path=PATH)),
    entry=Fields(restarts=U32, ledger_seq=U64, index=U64, inclusion=List(DIGEST)),
    head=SIGNED_HEAD,
)
PLACED = Fields(entry=ENTRY, index=U64, inclusion=List(DIGEST), head=SIGNED_HEAD)


def commitment_hash(commitment):
    return h("commitment", COMMITMENT.put(commitment))


def head_hash(head):
    return h("head", HEAD.put(head))


def receipt_hash(receipt):
    return h("receipt", RECEIPT.put(receipt))


# Sum trees.


def tree_id(pool, kind, window, subject, division):
    return h("tree", pool + bytes([kind, window]) + BYTES.put(subject) + U64.put(division))


def leaf_hash(tree, salt, owner, address, value, more):
    return h("leaf", tree + salt + TEXT.put(owner) + TEXT.put(address) + U128.put(value) + BYTES.put(more))


def root_hash(tree, count, top, total):
    return h("root", tree + U64.put(count) + top + U128.put(total))


def walk(tree, leaf, value, path, root):
    at, width, level = path["index"], root["count"], 0
    refuse(at >= width, "shape")
    node, total, siblings = leaf, value, list(path["siblings"])
    while width > 1:
        if at % 2 == 1 or at + 1 < width:
            refuse(not siblings, "shape")
            other = siblings.pop(0)
            pair = [(node, total), (other["hash"], other["sum"])]
            if at % 2 == 1:
                pair.reverse()
            total += other["sum"]
            refuse(total >= TOP[128], "sum-overflow")
            node = h("node", bytes([level]) + b"".join(one + U128.put(many) for one, many in pair))
        at, width, level = at // 2, (width + 1) // 2, level + 1
    refuse(siblings, "shape")
    refuse(total != root["sum"], "path")
    refuse(root_hash(tree, root["count"], node, total) != root["hash"], "path")


# The history tree, by recursion as the RFC's section 2.1.1 defines it; the crate verifies by the loops of 2.1.3.2 and 2.1.4.2.


def link(left, right):
    return h("link", left + right)


def split(size):
    return 1 << ((size - 1).bit_length() - 1)


def included_root(leaf, index, size, path):
    """The root that a path leads to, or None when it has another length than the place."""
    if not 0 <= index < size:
        return None
    if size == 1:
        return leaf if not path else None
    if not path:
        return None
    half, last = split(size), path[-1]
    if index < half:
        left = included_root(leaf, index, half, path[:-1])
        return left and link(left, last)
    right = included_root(leaf, index - half, size - half, path[:-1])
    return right and link(last, right)


def consistent_roots(old, new, path, old_root, whole=True):
    """Both roots that a path leads to, or None."""
    if old == new:
        if whole:
            return (old_root, old_root) if not path else None
        return (path[0], path[0]) if len(path) == 1 else None
    if not path:
        return None
    half, last = split(new), path[-1]
    if old <= half:
        roots = consistent_roots(old, half, path[:-1], old_root, whole)
        return roots and (roots[0], link(roots[1], last))
    roots = consistent_roots(old - half, new - half, path[:-1], old_root, False)
    return roots and (link(last, roots[0]), link(last, roots[1]))


def plain_root(leaves):
    if not leaves:
        return h("link", b"")
    if len(leaves) == 1:
        return leaves[0]
    half = split(len(leaves))
    return link(plain_root(leaves[:half]), plain_root(leaves[half:]))


# Heads and keys.


def signed(document, digest):
    return is_signed(document["body"]["key"], digest, document["signature"])


def contradiction(one, other):
    if one["pool"] != other["pool"]:
        return None
    a, b = (one, other) if one["number"] <= other["number"] else (other, one)
    if a["number"] == b["number"]:
        return "two-heads" if head_hash(a) != head_hash(b) else None
    adjacent = a["number"] + 1 == b["number"]
    if adjacent and b["prev"] != head_hash(a):
        return "chain-broken"
    declares, loss = b["kind"][0] == "restored", b["kind"][1]
    if a["restarts"] == b["restarts"]:
        if declares:
            return "losses"
        back = b["size"] < a["size"] or b["ledger_seq"] < a["ledger_seq"]
        return "not-continued" if back or (a["size"] == b["size"] and a["root"] != b["root"]) else None
    if b["restarts"] < a["restarts"]:
        return "losses"
    if not adjacent:
        return None
    good = declares and b["restarts"] == a["restarts"] + 1 and loss["lost_from"] <= min(a["size"], b["size"])
    good = good and (loss["lost_from"] != a["size"] or loss["root"] == a["root"])
    return None if good else "losses"


def periods(known, pool, heads):
    found, key, first = [], known, 0
    announcing = [head for head in heads if head["body"]["pool"] == pool and head["body"]["kind"][0] == "new-key"]
    for head in sorted(announcing, key=lambda head: head["body"]["number"]):
        body = head["body"]
        if body["key"] == key and body["number"] >= first and signed(head, head_hash(body)):
            found.append((key, first, body["number"]))
            key, first = body["kind"][1]["next"], body["number"] + 1
    return found + [(key, first, TOP[64])]


def check_key(in_force, key, number):
    code = "key-unknown"
    for known, first, last in in_force:
        if known == key:
            if first <= number <= last:
                return
            code = "key-not-yet" if number < first else "key-replaced"
    raise Refused(code)


def is_named(head):
    return h("pool", ORIGIN.put(head["origin"])) == head["pool"]


def check_head(head, in_force):
    refuse(not is_named(head["body"]), "origin")
    check_key(in_force, head["body"]["key"], head["body"]["number"])
    refuse(not signed(head, head_hash(head["body"])), "signature")


# Statements.


def unique(pairs):
    found = dict(pairs)
    refuse(len(found) != len(pairs), "form")
    return found


def read_statement(document):
    refuse(type(document) is not dict or type(document.get("millpond_statement")) is not int, "form")
    refuse(document["millpond_statement"] != 1, "version")
    return STATEMENT.read(document)


def verify(statement, key=None, pool=None, address=None, heads=(), receipts=()):
    commitment, head = statement["commitment"], statement["head"]["body"]
    refuse(commitment["version"] != 1 or head["version"] != 1, "version")
    pool = pool or commitment["pool"]
    refuse(commitment["pool"] != pool or head["pool"] != pool, "other-pool")
    refuse(address is not None and address != statement["address"], "other-address")
    in_force = periods(key or head["key"], pool, heads)
    check_head(statement["head"], in_force)
    together = [*heads, statement["head"]]
    for one in together:
        refuse(one["body"]["version"] != 1, "version")
        refuse(one["body"]["pool"] != pool, "other-pool")
        check_head(one, in_force)
    together.sort(key=lambda one: one["body"]["number"])
    for before, after in zip(together, together[1:]):
        code = contradiction(before["body"], after["body"])
        refuse(code, code)

    place = statement["entry"]
    newer = (place["restarts"], place["ledger_seq"]) > (head["restarts"], head["ledger_seq"])
    refuse(newer, "entry-after-head")
    entry = {"restarts": place["restarts"], "ledger_seq": place["ledger_seq"], "commitment": commitment_hash(commitment)}
    leaf = h("entry", ENTRY.put(entry))
    refuse(included_root(leaf, place["index"], head["size"], place["inclusion"]) != head["root"], "inclusion")

    parts = []

    def part(kind, window, shown, root, more):
        refuse(shown["value"] > root["sum"], "value-above")
        tree = tree_id(commitment["pool"], kind, window, commitment["subject"], commitment["division"])
        own = leaf_hash(tree, shown["salt"], statement["owner"], statement["address"], shown["value"], more)
        walk(tree, own, shown["value"], shown["path"], root)
        parts.append((shown["value"], root["sum"], root["count"]))

    what, said = commitment["what"]
    credit, work = statement["credit"], statement["work"]
    if what in ("income", "accrued"):
        check_division(statement, said, part)
        if receipts:
            check_receipts(statement, said, receipts, in_force)
    elif what == "payment":
        refuse(said["rows"]["sum"] != said["amount"], "not-the-reward")
        refuse(credit is None, "credit-missing")
        refuse(credit["paid"] is None or credit["paid"]["charged"] > credit["value"], "payee")
        refuse(work, "surplus")
        part(PAYMENT, 0, credit, said["rows"], PAID.put(credit["paid"]))
    else:
        refuse(credit is not None or work, "surplus")
    return parts


def check_division(statement, said, part):
    for window in said["windows"]:
        refuse((window["span"][0] in ("finder", "state")) == (window["counted"] is not None), "window")
    refuse(len(said["windows"]) > 256, "window")
    refuse(said["credits"]["sum"] != said["amount"] + said["carry_in"] + said["reserve_in"], "not-the-reward")
    credit = statement["credit"]
    refuse(credit is None, "credit-missing")
    refuse(credit["paid"] is not None, "payee")
    part(CREDITS, 0, credit, said["credits"], b"")
    missing = {at: window["counted"]["work"] for at, window in enumerate(said["windows"]) if window["counted"]}
    for work in statement["work"]:
        root = missing.pop(work["window"], None)
        refuse(root is None, "surplus")
        part(WORK, work["window"], work, root, b"")
    refuse(missing and statement["address"], "window-missing")


def taken_over(scheme, otherwise):
    follows = [it["value"] for it in scheme["settings"] if it["name"] == "@run-off"][:1]
    if not follows or follows[0][0] != "text":
        return otherwise
    try:
        floor = json.loads(follows[0][1])["floor"]
    except (ValueError, KeyError, TypeError):
        return None
    return floor if type(floor) is int and 0 <= floor < 2**64 else None


def check_receipts(statement, said, receipts, in_force):
    found = {}
    for receipt in receipts:
        body = receipt["body"]
        refuse(body["version"] != 1 or body["pool"] != statement["commitment"]["pool"], "receipt")
        refuse(body["owner"] != statement["owner"] or body["address"] != statement["address"], "receipt")
        behind = [key for key, first, last in in_force if first <= body["head"] + 1 <= last]
        refuse(body["key"] not in behind, "receipt")
        refuse(not signed(receipt, receipt_hash(body)), "receipt")
        refuse(not 0 < body["count"] <= body["last"] - body["first"] + 1, "receipt")
        refuse(found.setdefault((body["connection"], body["number"]), body) != body, "receipt")
    ordered = [found[place] for place in sorted(found)]
    for before, after in zip(ordered, ordered[1:]):
        if before["connection"] == after["connection"]:
            refuse(after["first"] <= before["last"], "receipt")
            adjacent = before["number"] + 1 == after["number"]
            refuse(adjacent and after["prev"] != receipt_hash(before), "receipt")
    for work in statement["work"]:
        window = said["windows"][work["window"]]
        span = window["span"][0]
        comparable = span in ("round", "shares", "work", "batch") and window["measure"][0] == "work"
        if not comparable or any(body["shift"] != said["shift"] for body in ordered):
            continue
        end = said["end"]["share"]
        # A window of a scheme that was followed by another ends where that took over.
        floor = taken_over(said["scheme"], 0)
        if floor is None:
            continue
        if window["counted"]["first"] <= floor:
            end = min(end, floor)
        first = window["counted"]["first"] + (span == "work" and window["edge"][0] == "split")
        inside = [body for body in ordered if body["first"] >= first and body["last"] <= end]
        inside = [body for body in inside if body["restarts"] == statement["entry"]["restarts"]]
        refuse(sum(body["work"] for body in inside) > work["value"], "receipts-exceed-work")


def evidence_holds(document, key):
    kind, pair = next(iter(document["found"].items()))
    if kind == "heads":
        one, other = (SIGNED_HEAD.read(head) for head in pair)
    else:
        placed = [PLACED.read(entry) for entry in pair]
        one, other = (entry["head"] for entry in placed)
    if one["body"]["pool"] != other["body"]["pool"]:
        return False
    for head in (one, other):
        if not is_named(head["body"]) or head["body"]["key"] != key or not signed(head, head_hash(head["body"])):
            return False
    if kind == "heads":
        return contradiction(one["body"], other["body"]) is not None
    for entry in placed:
        leaf, body = h("entry", ENTRY.put(entry["entry"])), entry["head"]["body"]
        if included_root(leaf, entry["index"], body["size"], entry["inclusion"]) != body["root"]:
            return False
    first, second = placed
    same = first["index"] == second["index"] and one["body"]["restarts"] == other["body"]["restarts"]
    return same and first["entry"] != second["entry"]


# The vectors.


class Counter:
    def __init__(self):
        self.good, self.bad = 0, 0

    def same(self, name, found, expected):
        if found == expected:
            self.good += 1
        else:
            self.bad += 1
            print(f"{name}: {found!r}, expected {expected!r}")


def load(name):
    text = (Path(__file__).parent / "vectors" / name).read_text()
    return json.loads(text, object_pairs_hook=unique)


def hashes(count):
    made = load("hashes.json")
    for context in made["contexts"]:
        word = context["context"].removeprefix("millpond statement 1 ")
        count.same(word, h(word, b"").hex(), context["of_nothing"])
        count.same(word, h(word, b"abc").hex(), context["of_abc"])
    pool = made["pool"]
    identity = bytes.fromhex(pool["key"]) + TEXT.put(pool["network"]) + TEXT.put(pool["name"])
    count.same("pool", h("pool", identity).hex(), pool["id"])
    tree = made["tree"]
    found = tree_id(
        bytes.fromhex(tree["pool"]), tree["kind"], tree["window"], bytes.fromhex(tree["subject"]), int(tree["division"])
    )
    count.same("tree", found.hex(), tree["id"])
    salt = made["salt"]
    data = bytes.fromhex(salt["division_salt"]) + bytes([salt["kind"], salt["window"]]) + TEXT.put(salt["owner"])
    count.same("salt", h("salt", data).hex(), salt["salt"])
    leaf = made["leaf"]
    fixed = [bytes.fromhex(leaf["id"]), bytes.fromhex(leaf["salt"]), leaf["owner"], leaf["address"]]
    count.same("leaf", leaf_hash(*fixed, int(leaf["value"]), bytes.fromhex(leaf["more"])).hex(), leaf["hash"])
    documents = [("commitment", COMMITMENT, one) for one in made["commitments"]]
    documents += [("head", HEAD, one) for one in made["heads"]]
    documents += [("entry", ENTRY, made["entry"]), ("receipt", RECEIPT, made["receipt"])]
    for context, kind, one in documents:
        data = kind.put(kind.read(one["json"]))
        count.same(context + " bytes", data.hex(), one["bytes"])
        count.same(context + " hash", h(context, data).hex(), one["hash"])
    running = ZEROS
    for share in made["shares"]["ids"]:
        running = h("shares", running + bytes.fromhex(share))
    count.same("shares", running.hex(), made["shares"]["running"])
    seed = bytes.fromhex(made["signed"]["seed"])
    head, receipt = SIGNED_HEAD.read(made["signed"]["head"]), SIGNED_RECEIPT.read(made["signed"]["receipt"])
    count.same("a head's signature", sign(seed, head_hash(head["body"])), head["signature"])
    count.same("a receipt's signature", sign(seed, receipt_hash(receipt["body"])), receipt["signature"])


def trees(count):
    made = load("trees.json")
    tree = bytes.fromhex(made["id"])
    for one in made["trees"]:
        root, nodes = ROOT.read(one["root"]), []
        for shown in one["leaves"]:
            value, path = int(shown["value"]), PATH.read(shown["path"])
            leaf = leaf_hash(tree, bytes.fromhex(shown["salt"]), shown["owner"], shown["address"], value, b"")
            nodes.append((leaf, value, path["index"]))
            try:
                walk(tree, leaf, value, path, root)
                count.same("a path", True, True)
            except Refused as why:
                count.same("a path", str(why), "good")
        nodes.sort()
        count.same("places", [place for _, _, place in nodes], list(range(len(nodes))))
        level = [(leaf, value) for leaf, value, _ in nodes]
        height = 0
        while len(level) > 1:
            above = []
            for at in range(0, len(level), 2):
                pair = level[at : at + 2]
                if len(pair) == 2:
                    data = bytes([height]) + b"".join(one + U128.put(many) for one, many in pair)
                    pair = [(h("node", data), pair[0][1] + pair[1][1])]
                above += pair
            level, height = above, height + 1
        top, total = level[0] if level else (ZEROS, 0)
        count.same("a root", root_hash(tree, len(nodes), top, total), root["hash"])
        count.same("a sum", (len(nodes), total), (root["count"], root["sum"]))


def histories(count):
    made = load("histories.json")
    leaves, roots = ([bytes.fromhex(one) for one in made[name]] for name in ("leaves", "roots"))
    for size, root in enumerate(roots):
        count.same("a history's root", plain_root(leaves[:size]), root)
    for one in made["inclusion"]:
        path = [bytes.fromhex(node) for node in one["path"]]
        count.same("inclusion", included_root(leaves[one["index"]], one["index"], one["size"], path), roots[one["size"]])
    for one in made["consistency"]:
        old, new, path = int(one["from"]), int(one["to"]), [bytes.fromhex(node) for node in one["path"]]
        count.same("consistency", consistent_roots(old, new, path, roots[old]), (roots[old], roots[new]))


def statements(count):
    for case in load("statements.json"):
        key, pool = (bytes.fromhex(case[name]) if case[name] else None for name in ("key", "pool"))
        heads = [SIGNED_HEAD.read(head) for head in case["heads"]]
        receipts = [SIGNED_RECEIPT.read(receipt) for receipt in case["receipts"]]
        try:
            parts = verify(read_statement(case["statement"]), key, pool, case["address"], heads, receipts)
            code = "good"
        except Refused as why:
            code, parts = str(why), []
        count.same(case["name"], code, case["expected"])
        shown = [{"value": str(value), "sum": str(total), "owners": str(owners)} for value, total, owners in parts]
        count.same(case["name"] + ", parts", shown, case["parts"])


def evidence(count):
    for case in load("evidence.json"):
        count.same(case["name"], evidence_holds(case["evidence"], bytes.fromhex(case["key"])), case["holds"])


def stop(text):
    print(text, file=sys.stderr)
    sys.exit(2)


def one(path, key, address=None):
    if re.fullmatch("[0-9a-fA-F]{64}", key) is None:
        stop("KEY is a public key: 64 hex digits, as the pool's site shows it")
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=unique)
        statement = read_statement(document)
    except (OSError, ValueError) as why:
        stop(f"{path} cannot be read: {why}")
    except Refused as why:
        stop(f"{path} is no statement: {why}")
    try:
        parts = verify(statement, bytes.fromhex(key), address=address)
    except Refused as why:
        sys.exit(f"refused: {why}")
    subject = statement["commitment"]["subject"]
    subject = subject.decode() if all(32 <= byte < 127 for byte in subject) else subject.hex()
    # Texts of the document as Python writes them, so that nothing in them moves a terminal's cursor.
    if statement["credit"] is None:
        print(f"good: about the entry, of nobody in particular; subject {subject}")
    else:
        print(f"good: address {statement['address']!r}, owner {statement['owner']!r}, subject {subject}")
    for value, total, owners in parts:
        print(f"{value} of {total}, {owners} owners")


def main(arguments):
    if arguments:
        if len(arguments) not in (2, 3):
            stop("usage: verify.py [STATEMENT KEY [ADDRESS]]")
        one(*arguments)
        return
    count = Counter()
    for vectors in (hashes, trees, histories, statements, evidence):
        before = count.good
        vectors(count)
        print(f"{vectors.__name__}: {count.good - before} agree")
    if count.bad:
        sys.exit(f"{count.bad} of {count.good + count.bad} differ")
    print(f"all {count.good} agree")


if __name__ == "__main__":
    main(sys.argv[1:])
