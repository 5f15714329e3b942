#!/usr/bin/env python3
"""What vmxscopectl exports, read by programs that are not ours.

Usage: check_export.py FORMAT MAKER VMXSCOPECTL SCHEMA    (MAKER is make_export_trace)
"""
import ast
import collections
import csv
import html.parser
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import jsonschema

COUNT, KHZ = 450, 2_600_000
HARDWARE = {"l1-exit", "l2-exit", "l1-entry", "l2-entry"}

# As far as it is used; names and numbers are those of perfetto's own protos.
PROTO = """
syntax = "proto2";
message Trace { repeated TracePacket packet = 1; }
message TracePacket {
  optional uint64 timestamp = 8;
  optional uint32 trusted_packet_sequence_id = 10;
  optional TrackEvent track_event = 11;
  optional uint32 sequence_flags = 13;
  optional TrackDescriptor track_descriptor = 60;
}
message TrackDescriptor {
  optional uint64 uuid = 1;
  optional string name = 2;
  optional uint64 parent_uuid = 5;
}
message TrackEvent {
  enum Type { TYPE_UNSPECIFIED = 0; TYPE_SLICE_BEGIN = 1; TYPE_SLICE_END = 2; TYPE_INSTANT = 3; }
  repeated DebugAnnotation debug_annotations = 4;
  optional Type type = 9;
  optional uint64 track_uuid = 11;
  repeated string categories = 22;
  optional string name = 23;
}
message DebugAnnotation {
  optional bool bool_value = 2;
  optional uint64 uint_value = 3;
  optional string string_value = 6;
  optional string name = 10;
}
"""


class Setting:
    """A trace, the program, and what `query --json` says of the trace."""

    def __init__(self, folder, maker, program, schema):
        self.folder, self.program, self.schema = Path(folder), program, schema
        self.trace = self.folder / "a.vxt"
        self.slow = self.folder / "no-khz.vxt"
        subprocess.run([maker, self.trace, str(COUNT), str(KHZ)], check=True)
        subprocess.run([maker, self.slow, "60", "0"], check=True)
        self.lines = self.run("query", self.trace, "true", "--json").splitlines()
        self.transitions = [json.loads(line) for line in self.lines]
        assert len(self.transitions) == COUNT
        self.by_seq = {t["seq"]: t for t in self.transitions}
        self.start = int(self.transitions[0]["tsc"], 16)

    def run(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("utf-8")

    def export(self, form, *options, trace=None, out="out"):
        path = self.folder / out
        shutil.rmtree(path, ignore_errors=True)
        self.run("export", trace or self.trace, "--format", form, "-o", path, "--force", *options)
        return path


def kinds(transitions):
    return collections.Counter(t["kind"] for t in transitions)


# ---- Perfetto

def message_of(lines):
    """A message that protoc prints as text, up to its }: each member a list, in order."""
    message = types.SimpleNamespace()
    for line in lines:
        if line.strip() == "}":
            break
        name, colon, value = line.strip().partition(": ")
        if not colon:
            name, value = name.removesuffix(" {"), message_of(lines)
        elif value[0] == '"':
            value = ast.literal_eval("b" + value).decode("utf-8")
        else:
            value = int(value) if value[0].isdigit() else {"true": True, "false": False}.get(value, value)
        assert not name.isdigit(), f"perfetto has no field {name}"
        vars(message).setdefault(name, []).append(value)
    return message


def only(message):
    """With the one value of each member that is not repeated."""
    repeated = {"debug_annotations", "categories"}
    values = {"parent_uuid": 0, "name": "", "debug_annotations": [], **vars(message)}
    return types.SimpleNamespace(**{k: v[0] if isinstance(v, list) and k not in repeated else v
                                    for k, v in values.items()})


class Perfetto:
    """An export, decoded: tracks by uuid, spans and instants in the order of the file."""

    Span = collections.namedtuple("Span", "track name begin end args cut")
    Instant = collections.namedtuple("Instant", "track name at args")

    def __init__(self, s, path):
        (s.folder / "perfetto.proto").write_text(PROTO)
        text = subprocess.run(["protoc", f"-I{s.folder}", "--decode=Trace", "perfetto.proto"], check=True,
                              stdin=path.open("rb"), capture_output=True).stdout.decode("ascii")
        self.tracks, self.spans, self.instants = {}, [], []
        self.open, self.newest = {}, {}
        packets = message_of(iter(text.splitlines())).packet
        assert packets[0].sequence_flags == [1]
        for packet in packets:
            assert packet.trusted_packet_sequence_id == [1]
            if "track_descriptor" in vars(packet):
                self.track(only(packet.track_descriptor[0]))
            else:
                self.event(packet.timestamp[0], only(packet.track_event[0]))
        assert not self.open, f"never ended: {self.open}"

    def track(self, d):
        assert d.uuid and d.uuid not in self.tracks
        assert not d.parent_uuid or d.parent_uuid in self.tracks
        self.tracks[d.uuid] = d

    def event(self, at, e):
        assert at >= self.newest.get(e.track_uuid, 0), "time goes back on a track"
        self.newest[e.track_uuid] = at
        track = self.tracks[e.track_uuid]
        args = {a.name[0]: next(v[0] for k, v in vars(a).items() if k != "name") for a in e.debug_annotations}
        if e.type == "TYPE_SLICE_BEGIN":
            assert track.parent_uuid
            # A vCPU is at one level at a time.
            assert not any(self.tracks[u].parent_uuid == track.parent_uuid for u in self.open), args
            self.open[e.track_uuid] = (e.name, at, args)
        elif e.type == "TYPE_SLICE_END":
            name, begin, begun = self.open.pop(e.track_uuid)
            self.spans.append(self.Span(track, name, begin, at, begun, args.get("cut")))
        else:
            assert e.type == "TYPE_INSTANT"
            self.instants.append(self.Instant(track, e.name, at, args))


def expected_losses(transitions):
    """Where something is missing: records of a vCPU, numbers, a TSC that goes back."""
    newest, seq, own = {}, 0, 0
    for t in transitions:
        tsc = int(t["tsc"], 16)
        own += bool(t["lost_before"]) or (seq and t["seq"] != seq + 1) or tsc < newest.get(t["vcpu"], 0)
        newest[t["vcpu"]], seq = tsc, t["seq"]
    return own


def check_perfetto_event(s, t, at, name, args, track):
    assert args["seq"] == t["seq"] and args["tsc"] == int(t["tsc"], 16)
    ns = (int(t["tsc"], 16) - s.start) * 1e6 / KHZ
    assert abs(at - ns) <= 1 or at > ns and t["seq"] > 150, (at, ns, t["seq"])
    level = 1 if t["kind"] == "l1-entry" else 2 if t["kind"] == "l2-entry" else 0
    assert track.name == f"L{level}"
    assert args["rip"] == t["regs"]["rip"]
    if t["kind"].endswith("-exit"):
        assert args["qualification"] == t["exit"]["qualification"]
        assert args["exit_reason"].startswith(t["exit_reason"]["name"])
    if t["kind"] in {"l1-exit", "l2-exit"}:
        assert name == args["exit_reason"]
    if t["routing"]:
        assert args["wanted_by"] == t["routing"]["who"]
    if t["pdptr"]:
        assert name == t["kind"]
        for theirs, ours in (("pdptr", "verdict"), ("pdptr_row", "row"), ("pdptr_why", "reason"),
                             ("pdptr_alarm", "alarm"), ("pdptr_agree", "agree")):
            assert args[theirs] == t["pdptr"][ours], (theirs, args, t["pdptr"])
        assert args["findings"] == len(t["findings"])
    assert args["lost"] == t["lost_before"]
    assert args.get("kvm_reason", "") == t["kvm_reason"]


def perfetto(s):
    p = Perfetto(s, s.export("perfetto", out="a.pftrace"))
    parents = [d for d in p.tracks.values() if not d.parent_uuid]
    assert sorted(d.name for d in parents) == [f'vCPU {n} of lab:"pae\\ept" <i>&' for n in (0, 1)], parents
    for d in parents:
        assert sorted(c.name for c in p.tracks.values() if c.parent_uuid == d.uuid) == ["L0", "L1", "L2"]
    lost = [i for i in p.instants if i.name == "records lost"]
    nested = [i for i in p.instants if i.name != "records lost"]
    want = kinds(s.transitions)
    assert len(p.spans) == sum(want[k] for k in HARDWARE)
    assert collections.Counter(i.name for i in nested) == {k: n for k, n in want.items() if k not in HARDWARE}
    for e in [(x.args, x.begin, x.name, x.track) for x in p.spans] + [(i.args, i.at, i.name, i.track) for i in nested]:
        check_perfetto_event(s, s.by_seq[e[0]["seq"]], e[1], e[2], e[0], e[3])
    own = [i for i in lost if i.args["lost"] or i.args["transitions_missing"] or i.args["tsc_went_back"]]
    assert len(own) == len(lost) and len(lost) - expected_losses(s.transitions) in (0, 1), lost  # the other vCPU's
    assert {(i.args["lost"], i.args["transitions_missing"], i.args["tsc_went_back"]) for i in lost} == {
        (7, 0, False), (0, 5, False), (0, 0, True)}
    cut = collections.Counter(x.cut for x in p.spans)
    assert cut["the selection ends"] in (1, 2) and cut["records are missing after it"] >= 1, cut
    # What is selected has the same length as in the whole.
    part = Perfetto(s, s.export("perfetto", "--where", "exit_reason == CPUID && level == 2", out="b.pftrace"))
    whole = {x.args["seq"]: x for x in p.spans}
    assert len(part.spans) == sum(t["kind"] == "l2-exit" and t["exit_reason"]["name"] == "CPUID" for t in s.transitions)
    for x in part.spans:
        assert (x.begin, x.end) == (whole[x.args["seq"]].begin, whole[x.args["seq"]].end)
    slow = Perfetto(s, s.export("perfetto", trace=s.slow, out="c.pftrace"))
    assert all("TSC cycles" in d.name for d in slow.tracks.values() if not d.parent_uuid)
    assert slow.spans[0].args["tsc"] - s.start == slow.spans[0].begin


# ---- CTF

def babeltrace(path):
    """[(cycles, name, vcpu, text of the payload)], and what it warns of."""
    done = subprocess.run(["babeltrace2", "--clock-cycles", "--no-delta", "--names=all", path], capture_output=True)
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    assert done.returncode == 0, err
    events = []
    for line in out.splitlines():
        m = re.fullmatch(r"timestamp = (\d+), (?:trace:hostname = l0<b>, )?name = ([\w-]+), stream\.packet\.context = \{ vcpu = (\d+) \}, "
                         r"event\.fields = \{ (.*) \}", line)
        assert m, line
        events.append((int(m[1]), m[2], int(m[3]), m[4]))
    return events, err


def known(text, name):
    m = re.search(rf"\b{name} = \{{ state = \( \"(\w+)\" : container = \d \), bits = (0x[0-9A-Fa-f]+) \}}", text)
    return hex(int(m[2], 16)) if m[1] == "known" else m[1].replace("_", "-")


def word(text, name):
    return re.search(rf"\b{name} = \"((?:[^\"\\]|\\.)*)\"", text)[1]


def ctf(s):
    path = s.export("ctf", out="a.ctf")
    assert sorted(p.name for p in path.iterdir()) == ["metadata", "vcpu_0", "vcpu_1"]
    events, warned = babeltrace(path)
    lost = [e for e in events if e[1] == "records-lost"]
    events = [e for e in events if e[1] != "records-lost"]
    assert collections.Counter(e[1] for e in events) == kinds(s.transitions)
    assert len(lost) == expected_losses(s.transitions) and "lost = 7, transitions_missing = 0" in str(lost), lost
    newest = {}
    for cycles, name, vcpu, text in events:
        t = s.by_seq[int(re.match(r"seq = (\d+),", text)[1])]
        assert (t["kind"], t["vcpu"]) == (name, vcpu)
        assert cycles == max(newest.get(vcpu, 0), int(t["tsc"], 16) - s.start)
        newest[vcpu] = cycles
        assert known(text, "rip") == t["regs"]["rip"], (text, t["regs"]["rip"])
        if name.endswith("-exit"):
            assert known(text, "qualification") == t["exit"]["qualification"]
            assert known(text, "guest_physical") == t["exit"]["guest_physical"]
        if t["pdptr"]:
            assert word(text, "pdptr") == t["pdptr"]["verdict"] and word(text, "pdptr_row") == t["pdptr"]["row"]
            used = {None: "unknown", True: "yes", False: "no"}[t["pdptr"]["used"]]
            assert f'pdptr_used = ( "{used}"' in text, text
            assert f'findings = {len(t["findings"])},' in text
            assert (word(text, "findings_text") == "-") == (not t["findings"])
        assert (word(text, "notes") == "-") == (not t["notes"]), text
    assert any("<script>alert" in word(e[3], "notes") for e in events)
    environment = subprocess.run(["babeltrace2", path, "--component=sink.text.details"], check=True,
                                 capture_output=True).stdout.decode("utf-8")
    assert 'target: lab:"pae\\ept" <i>&' in environment and "2023-11-14 22:13:20 UTC" in environment
    part, _ = babeltrace(s.export("ctf", "--where", "kind == nested-entry", "--to", "90", out="b.ctf"))
    assert collections.Counter(e[1] for e in part) == {
        "nested-entry": sum(t["kind"] == "nested-entry" and t["seq"] <= 90 for t in s.transitions), "records-lost": 1}
    slow, _ = babeltrace(s.export("ctf", trace=s.slow, out="c.ctf"))
    assert len(slow) == 61  # and records-lost
    assert "TSC cycles" in (s.folder / "c.ctf/metadata").read_text()


# ---- Lines

def jsonl(s):
    assert s.export("jsonl").read_text(encoding="utf-8").splitlines() == s.lines
    validator = jsonschema.Draft202012Validator(json.load(open(s.schema, encoding="utf-8")))
    for line in s.lines:
        validator.validate(json.loads(line))
    some = s.export("jsonl", "--columns", "seq,kind,rip", "--where", "level == 2", "--limit", "5").read_text()
    want = [{"seq": t["seq"], "kind": t["kind"], "rip": t["regs"]["rip"]} for t in s.transitions
            if not t["kind"].startswith("l1")]
    assert [json.loads(line) for line in some.splitlines()] == want[:5]


def csv_lines(s):
    path = s.export("csv", "--columns", "seq,kind,vmcs02.GUEST_CR3,note,lost")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert [int(r["seq"]) for r in rows] == [t["seq"] for t in s.transitions]
    assert [r["kind"] for r in rows] == [t["kind"] for t in s.transitions]
    notes = {int(r["seq"]): r["note"] for r in rows if r["note"]}
    assert notes[30] == "<script>alert('x')</script> \ufffd & \"quoted\"  \nsecond line", notes[30]
    assert notes[31] == "'=HYPERLINK(\"x\")", "a spreadsheet would run it"
    assert {r["seq"]: r["lost"] for r in rows if r["lost"] != "0"} == {"40": "7"}
    usual = list(csv.DictReader(s.export("csv", "--from", "200", "--to", "209").open(encoding="utf-8", newline="")))
    assert [r["seq"] for r in usual] == [str(n) for n in range(200, 210)]
    assert usual[0]["vcpu"] == str(s.by_seq[200]["vcpu"]) and int(usual[9]["time"]) > 0


# ---- HTML

class Page(html.parser.HTMLParser):
    """Checks that elements nest, and keeps those that matter."""

    VOID = {"meta"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack, self.text, self.elements, self.seen = [], [], [], collections.Counter()
        self.feed(text)
        self.close()
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert not {"src", "href", "srcset", "style"} & attrs.keys() and not any(a.startswith("on") for a in attrs)
        self.seen[tag] += 1
        if tag not in self.VOID:
            self.stack.append((tag, attrs, len(self.text)))

    def handle_endtag(self, tag):
        opened, attrs, begin = self.stack.pop()
        assert opened == tag, f"</{tag}> ends <{opened}>"
        self.elements.append((tag, attrs, "".join(self.text[begin:])))

    def handle_data(self, data):
        self.text.append(data)

    def of(self, tag, css=None):
        return [(a, text) for t, a, text in self.elements if t == tag and (css is None or a.get("class") == css)]


def html_report(s):
    raw = s.export("html", "--limit", "0", out="a.html").read_text(encoding="utf-8")
    page = Page(raw)
    assert not page.seen.keys() & {"script", "link", "img", "iframe", "object", "base"}, page.seen
    assert "url(" not in raw and "@import" not in raw and "prefers-color-scheme: dark" in raw
    assert [a["id"] for a, _ in page.of("tbody")] == [f"t{t['seq']}" for t in s.transitions]
    assert page.of("h1")[0][1] == 'vmxscope: lab:"pae\\ept" <i>&'
    assert f"{COUNT} transitions, all that match" in "".join(page.text) and "7 records" in "".join(page.text)
    bodies = {int(a["id"][1:]): text for a, text in page.of("tbody")}
    assert "<script>alert('x')</script> \ufffd & \"quoted\"" in bodies[30]
    alarms = [t for t in s.transitions if t["pdptr"] and t["pdptr"]["alarm"]]
    assert alarms and [a["id"] for a, _ in page.of("tbody", "alarm")] == [f"t{t['seq']}" for t in alarms]
    assert "KEPT_UNDEFINED" in bodies[alarms[0]["seq"]] and "undefined values are in use" in bodies[alarms[0]["seq"]]
    assert any(t["kvm_reason"] and t["kvm_reason"] in bodies[t["seq"]] for t in s.transitions)
    for t in s.transitions:
        for change in t["changed"]:
            assert change["field"] in bodies[t["seq"]] and change["vmcs02"] in bodies[t["seq"]]
        if t["pdptr"]:
            assert t["pdptr"]["reason"] in bodies[t["seq"]]
    marked = page.of("td", "undefined")
    assert marked and all(re.fullmatch(r"0x[0-9a-f]+ undefined", text) for _, text in marked)
    cut = Page(s.export("html", "--where", "kind == l2-exit", "--limit", "3", "--columns", "seq,rip").read_text())
    assert "the first 3 transitions; more match" in "".join(cut.text) and len(cut.of("tbody")) == 3
    assert "kind == l2-exit" in [text for _, text in cut.of("dd")]


# ---- The command

def command(s):
    def fails(*arguments, out="new"):
        done = subprocess.run([s.program, "export", s.trace, "-o", s.folder / out, *arguments], capture_output=True)
        assert done.returncode in (1, 2), done
        return done.stderr.decode()

    there = s.folder / "there"
    there.write_text("mine")
    for form in ("perfetto", "ctf", "jsonl", "csv", "html"):
        assert "exists already" in fails("--format", form, out="there") and there.read_text() == "mine"
    assert "--where is not understood" in fails("--format", "csv", "--where", "nonsense")
    assert "has no columns" in fails("--format", "ctf", "--columns", "seq")
    assert "is the trace itself" in fails("--format", "csv", "--force", out="a.vxt")
    assert "No space left" in fails("--format", "jsonl", out="/dev/full")
    fails("--format", "pdf")
    assert not (s.folder / "new").exists()
    assert len(json.loads(s.run("export", s.trace, "--format", "jsonl", "-o", "/dev/fd/1", "--limit", "1"))) > 5
    for form in ("perfetto", "ctf", "jsonl", "csv", "html"):
        assert form in s.run("export", "--help")


def main():
    form, maker, program, schema = sys.argv[1:]
    checks = {"perfetto": perfetto, "ctf": ctf, "jsonl": jsonl, "csv": csv_lines, "html": html_report, "command": command}
    with tempfile.TemporaryDirectory() as folder:
        checks[form](Setting(folder, maker, program, schema))


if __name__ == "__main__":
    main()
