'use strict';
(() => {
const $ = id => document.getElementById(id);
const root = document.documentElement;
const data = JSON.parse($('data').textContent);

// --- The trace, unpacked -------------------------------------------------------------------------------------------

// The order is that of `Kind` in pack.rs.
const STEP = 0, CREATE = 1, UPDATE = 2, DELETE = 3, RUNS = 4, ENDS = 5, BORN = 6, CRASHES = 7, FREEZES = 8, THAWS = 9,
  UP = 10, DOWN = 11, FAULT = 12, HEAL = 13, VIOLATION = 14, END = 15;
const NONE = -1, LOST = -2;

/** Reads the numbers of a column; `Letters` in pack.rs writes them. */
function numbers(letters) {
  let at = 0;
  return () => {
    let number = 0, weight = 1;
    for (;;) {
      let code = letters.charCodeAt(at++);
      code = (code === 32 ? 60 : code === 33 ? 92 : code) - 35;
      if (code < 46) return number + code * weight;
      number += (code - 46) * weight;
      weight *= 46;
    }
  };
}

const ROWS = data.rows;
const kind = new Uint8Array(ROWS), when = new Float64Array(ROWS), seq = new Float64Array(ROWS);
const cause = new Int32Array(ROWS), who = new Int32Array(ROWS), about = new Int32Array(ROWS), state = new Int32Array(ROWS);
const template = new Int32Array(ROWS), fillAt = new Int32Array(ROWS), fill = [];
// A template has texts, 0 for a word, and 1 for a number.
const { templates } = data;
(function unpack() {
  const c = data.columns;
  const next = Object.fromEntries(Object.keys(c).map(name => [name, numbers(c[name])]));
  const holes = templates.map(parts => parts.filter(part => part === 0 || part === 1).length);
  for (let i = 0, t = 0, s = 0; i < ROWS; i++) {
    kind[i] = next.kind();
    when[i] = t += next.time();
    seq[i] = s += next.seq();
    const back = next.cause();
    cause[i] = back === 0 ? NONE : back === 1 ? LOST : i - back + 1;
    who[i] = next.who();
    about[i] = next.about() - 1;
    state[i] = next.state() - 1;
    template[i] = next.text() - 1;
    fillAt[i] = fill.length;
    if (template[i] >= 0) for (let hole = holes[template[i]]; hole > 0; hole--) fill.push(next.text());
  }
})();
const FROM = ROWS ? (data.headless ? when[0] : 0) : 0;
const TO = Math.max(data.end, FROM + 1e6);

function textOf(i) {
  if (template[i] < 0) return '';
  let at = fillAt[i], text = '';
  for (const part of templates[template[i]])
    text += part === 0 ? data.words[fill[at++]] : part === 1 ? fill[at++] : part;
  return text;
}
const rowOf = wanted => {
  const at = bisect(seq, wanted) - 1;
  return at >= 0 && seq[at] === wanted ? at : NONE;
};
/** How many of a sorted list are at most this. */
function bisect(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}

// --- What it tells: actors, nodes, objects -------------------------------------------------------------------------

const STATES = ['pending', 'starting', 'running', 'ready', 'terminating', 'failed', 'succeeded'];
const WORDS = {
  pending: 'waits for a node', starting: 'has a node, starts', running: 'runs, not ready', ready: 'runs and is ready',
  terminating: 'is being deleted', failed: 'failed', succeeded: 'has done its work',
};
function stateOf(is) {
  const phase = is.phase;
  if (is.deleting) return 4;
  if (phase === 'Failed') return 5;
  if (phase === 'Succeeded') return 6;
  if (phase === 'Running') return is.ready ? 3 : 2;
  return is.node ? 1 : 0;
}

const actors = data.actors.map(([name, node]) => ({ name, node, lives: [], frozen: [], steps: [] }));
const nodes = data.nodes.map((name, id) => ({ id, name, up: [], spells: [], bars: [], kubelets: [], writes: [] }));
const nodeNamed = new Map(nodes.map(node => [node.name, node]));
actors.forEach(actor => { if (actor.node !== null) nodes[actor.node].kubelets.push(actor); });
const actorNamed = new Map(actors.map(actor => [actor.name, actor]));
const server = actorNamed.get('apiserver');
const SHORT = { Pod: 'pod', ReplicaSet: 'replica set', Node: 'node', Namespace: 'namespace', Lease: 'lease', Event: 'event' };
const objects = data.objects.map((key, id) => {
  const parts = key.split('/');
  const name = parts[parts.length - 1];
  const namespace = parts.length > 2 ? parts[1] : '';
  const shown = namespace && namespace !== 'default' ? `${namespace}/${name}` : name;
  return { id, key, kind: parts[0], name, shown, writes: [], ends: null, pod: null };
});
const pods = [], sets = [];
const life = i => data.lives[who[i]] || [0, 1];
const actorOf = i => actors[life(i)[0]];
const waiting = { bars: [] };

(function tell() {
  const running = new Map(), spells = new Map();
  const open = (list, spell) => { list.push(spell); return spell; };
  const spell = (node, what, on, i) => {
    const id = `${node.id} ${what}`, before = spells.get(id);
    if (on && !before) spells.set(id, open(node.spells, { what, from: when[i], to: TO, row: i }));
    if (!on && before) { before.to = when[i]; spells.delete(id); }
  };
  const podOf = id => {
    const object = objects[id];
    if (!object.pod) {
      object.pod = { object, from: FROM, to: TO, turns: [], processes: [], bars: [], owner: '', violated: false };
      pods.push(object.pod);
    }
    return object.pod;
  };
  const nodeBy = name => nodeNamed.get(name) || NONE;
  for (let i = 0; i < ROWS; i++) {
    const k = kind[i];
    if (k === STEP) {
      const actor = actorOf(i);
      if (!actor.lives.length) actor.lives.push({ from: FROM, to: TO, life: life(i)[1] });
      actor.steps.push(i);
    } else if (k <= DELETE) {
      const object = objects[about[i]];
      object.writes.push(i);
      const is = state[i] >= 0 ? data.states[state[i]] : null;
      if (k === DELETE) object.ends = when[i];
      if (object.kind === 'Pod') {
        const pod = podOf(about[i]);
        if (k === CREATE) pod.from = when[i];
        if (k === DELETE) { pod.to = when[i]; continue; }
        if (!is) continue;
        const turn = { at: when[i], state: stateOf(is), node: is.node ? nodeBy(is.node) : NONE, is, row: i };
        // What was first heard of in the middle of its life was like that before.
        if (!pod.turns.length) turn.at = pod.from;
        if (is.owner) pod.owner = is.owner;
        pod.turns.push(turn);
      } else if (object.kind === 'Node') {
        const node = nodeBy(object.name);
        if (node === NONE) continue;
        node.writes.push(i);
        spell(node, 'notready', k !== DELETE && !!is && is.ready !== 'True', i);
        spell(node, 'cordoned', k !== DELETE && !!is && !!is.cordoned, i);
      } else if (object.kind === 'ReplicaSet' && object.writes.length === 1) sets.push(object);
    } else if (k === RUNS || k === ENDS) {
      const [pid, code, attempt, ...container] = textOf(i).split('|');
      const id = `${about[i]} ${who[i]} ${pid}`, pod = podOf(about[i]);
      if (k === RUNS) {
        const process = { from: when[i], to: TO, pid, attempt, container: container.join('|'), code: null, node: nodes[who[i]], row: i, ended: false };
        running.set(id, process);
        pod.processes.push(process);
      } else {
        const process = running.get(id);
        running.delete(id);
        if (process) Object.assign(process, { to: when[i], code, ended: true });
      }
    } else if (k >= BORN && k <= THAWS) {
      const actor = actorOf(i), last = actor.lives[actor.lives.length - 1];
      if (k === BORN) actor.lives.push({ from: when[i], to: TO, life: life(i)[1] });
      if (k === CRASHES && last) last.to = Math.min(last.to, when[i]);
      if (k === CRASHES && !last) actor.lives.push({ from: FROM, to: when[i], life: life(i)[1] });
      if (k === FREEZES) actor.frozen.push({ from: when[i], to: TO });
      if ((k === THAWS || k === CRASHES) && actor.frozen.length) {
        const frost = actor.frozen[actor.frozen.length - 1];
        frost.to = Math.min(frost.to, when[i]);
      }
    } else if (k === UP || k === DOWN) spell(nodes[who[i]], 'down', k === DOWN, i);
  }
  for (const [node, from, to] of data.silences) nodes[node].spells.push({ what: 'silent', from, to, row: NONE });
  // A pod's bar waits first, and then is on its node as long as the object or a process of it is there.
  for (const pod of pods) {
    const bound = pod.turns.find(turn => turn.node !== NONE);
    const last = pod.processes.reduce((latest, process) => Math.max(latest, process.to), 0);
    const until = pod.turns.length ? pod.to : last;
    if (!bound || bound.at > pod.from) {
      if (pod.turns.length) pod.bars.push({ pod, lane: waiting, from: pod.from, to: bound ? bound.at : until });
    }
    const node = bound ? bound.node : pod.processes.length ? pod.processes[0].node : NONE;
    if (node !== NONE) pod.bars.push({ pod, lane: node, from: bound ? bound.at : pod.processes[0].from, to: Math.max(until, last) });
    for (const bar of pod.bars) bar.lane.bars.push(bar);
  }
})();

data.faults.forEach(fault => {
  fault.from = when[fault.row];
  const actor = fault.target === 'disk' ? server : actorNamed.get(fault.target);
  fault.node = nodeNamed.get(fault.target) || (actor && actor.node !== null ? nodes[actor.node] : null);
  fault.actor = fault.node ? null : actor || null;
  fault.to = fault.heal === undefined ? unhealed(fault) : when[fault.heal];
});
/** A crash has no end of its own: it lasts until what fell is up again. What felled nothing struck and was over. */
function unhealed(fault) {
  const PAIRS = [[DOWN, UP], [CRASHES, BORN], [FREEZES, THAWS]];
  const same = (i, k) => k === UP || k === DOWN ? who[i] : life(i)[0];
  for (let i = fault.row + 1; i < ROWS && when[i] === fault.from; i++) {
    const pair = PAIRS.find(([falls]) => falls === kind[i]);
    if (!pair || cause[i] !== fault.row) continue;
    for (let end = i + 1; end < ROWS; end++) if (kind[end] === pair[1] && same(end, pair[1]) === same(i, pair[0])) return when[end];
    return TO;
  }
  // The trace ends before it would have.
  return / for \d/.test(textOf(fault.row)) ? TO : fault.from;
}
const faultAt = new Map(data.faults.flatMap(fault => [[fault.row, fault], [fault.heal, fault]]));
const violationAt = new Map(data.violations.map(violation => [violation.row, violation]));
data.violations.forEach(violation => violation.objects.forEach(id => { if (objects[id].pod) objects[id].pod.violated = true; }));

/** Puts what overlaps in time on rows of its own. */
function pack(items) {
  items.sort((a, b) => a.from - b.from || b.to - a.to);
  const ends = [], rows = [];
  for (const item of items) {
    let row = ends.findIndex(end => end <= item.from);
    if (row < 0) { row = ends.length; rows.push([]); }
    ends[row] = item.to;
    item.row = row;
    rows[row].push(item);
  }
  return rows;
}
waiting.rows = pack(waiting.bars);
nodes.forEach(node => { node.rows = pack(node.bars); });
const faultRows = pack(data.faults.map(fault => ({ fault, from: fault.from, to: fault.to })));

/** How many bars are in each state, after each change. */
function counted(bars) {
  const changes = [];
  for (const bar of bars) {
    let now = NONE;
    for (const turn of bar.pod.turns) {
      if (turn.at >= bar.to) break;
      const at = Math.max(turn.at, bar.from);
      changes.push([at, now, turn.state]);
      now = turn.state;
    }
    if (bar.to < TO) changes.push([bar.pod.turns.length ? Math.min(bar.to, Math.max(bar.pod.to, bar.from)) : bar.to, now, NONE]);
  }
  changes.sort((a, b) => a[0] - b[0]);
  const at = new Float64Array(changes.length), counts = new Int32Array(changes.length * 7), now = new Array(7).fill(0);
  let most = 1;
  changes.forEach(([time, was, is], i) => {
    if (was !== NONE) now[was]--;
    if (is !== NONE) now[is]++;
    at[i] = time;
    counts.set(now, i * 7);
    most = Math.max(most, now.reduce((sum, count) => sum + count));
  });
  return { at, counts, most };
}
// A turn that a later bar of the same pod has already counted would be counted twice.
const census = counted(pods.filter(pod => pod.turns.length).map(pod => ({ pod, from: pod.from, to: pod.to })));
const countsOf = lane => lane.counts || (lane.counts = counted(lane.bars.map(bar => {
  const first = bar.pod.turns.filter(turn => turn.at <= bar.from).pop();
  return { from: bar.from, to: bar.to, pod: { to: bar.pod.to, turns: first ? [first, ...bar.pod.turns.filter(turn => turn.at > bar.from)] : bar.pod.turns } };
})));
function countsAt(counts, time) {
  const i = bisect(counts.at, time) - 1;
  return STATES.map((_, s) => i < 0 ? 0 : counts.counts[i * 7 + s]);
}

// --- In words ------------------------------------------------------------------------------------------------------

const secs = (time, digits = 3) => (time / 1e9).toFixed(digits);
function span(time) {
  if (time < 1e3) return `${time} ns`;
  if (time < 1e6) return `${(time / 1e3).toFixed(0)} µs`;
  if (time < 1e9) return `${+(time / 1e6).toFixed(time < 1e7 ? 1 : 0)} ms`;
  return `${+(time / 1e9).toFixed(time < 1e10 ? 2 : 1)} s`;
}
const KINDS = { po: 'pod', rs: 'replica set', no: 'node', ns: 'namespace', le: 'lease', ev: 'event' };
/** Turns the trace's signs into words: `+po/web-1@7(Pending)` is `new pod web-1 (Pending)`. */
function plain(text) {
  return text
    .replace(/"scheduler: /g, '"')
    .replace(/^ask /, 'asks to ')
    .replace(/^wakes$/, 'wakes up')
    .replace(/^says /, 'notes: ')
    .replace(/^got created /, 'hears it is created: ')
    .replace(/^got (\d+) items(@\d+)?/, 'gets a list of $1')
    .replace(/^got /, 'hears ')
    .replace(/^sees \+/, 'sees that there is ')
    .replace(/^sees ~/, 'sees a change: ')
    .replace(/^sees -/, 'sees that it is gone: ')
    .replace(/^durable @(\d+)/, 'change $1 is on the disk')
    .replace(/^commit -/, 'sends to the disk: no more ')
    .replace(/^commit /, 'sends to the disk: ')
    .replace(/: \+(?=\S*\w\w\/)/g, ' hear of the new ')
    .replace(/: ~(?=\S*\w\w\/)/g, ' hear of the change of ')
    .replace(/: -(?=\S*\w\w\/)/g, ' hear of the end of ')
    .replace(/\b(po|rs|no|ns|le|ev)\//g, (_, short) => `${KINDS[short]} `)
    .replace(/(\S)@\d+/g, '$1')
    .replace(/(\w)\(/g, '$1 (');
}
const cap = (text, most = 260) => text.length > most ? `${text.slice(0, most)} …` : text;

function before(i) {
  const writes = objects[about[i]].writes, at = bisect(writes, i) - 2;
  return at >= 0 && state[writes[at]] >= 0 ? data.states[state[writes[at]]] : null;
}
/** What a durable change changed. */
function change(i) {
  const object = objects[about[i]], name = `${SHORT[object.kind] || object.kind} ${object.shown}`;
  if (kind[i] === DELETE) return `${name} is gone`;
  const is = state[i] >= 0 ? data.states[state[i]] : null, was = before(i);
  if (kind[i] === CREATE) return `${name} now exists${is ? describe(object.kind, is) : ''}`;
  if (!is) return `${name} is changed`;
  if (!was) return `${name} is changed${describe(object.kind, is)}`;
  const parts = [];
  if (object.kind === 'Pod') {
    if (is.node && is.node !== was.node) parts.push(`is bound to ${is.node}`);
    if (is.deleting && !was.deleting) parts.push('is to be deleted');
    if (is.status !== was.status && !(is.deleting && !was.deleting)) parts.push(`${was.status} → ${is.status}`);
    if (is.ready !== was.ready) parts.push(is.ready ? 'is ready' : 'is no longer ready');
    if ((is.restarts || 0) !== (was.restarts || 0)) parts.push(`restarts ${was.restarts || 0} → ${is.restarts || 0}`);
  } else for (const field of Object.keys(is))
    if (is[field] !== was[field]) parts.push(`${field} ${was[field]} → ${is[field]}`);
  return parts.length ? `${name}: ${parts.join(', ')}` : `${name} is written again`;
}
function describe(of, is) {
  if (of === 'Pod') return `: ${is.status || is.phase}${is.node ? ` on ${is.node}` : ''}`;
  return `: ${Object.entries(is).map(([field, value]) => `${field} ${value}`).join(', ')}`;
}

/** An entry as a person would tell it: who, what came, what was done about it. */
function tale(i) {
  const k = kind[i];
  if (k === STEP) {
    const [came, ...did] = textOf(i).split('\n');
    return { sort: isPlumbing(i) ? 'step plumbing' : 'step', who: actorOf(i).name, words: plain(came), did: did.map(plain) };
  }
  if (k <= DELETE) return { sort: 'write', who: 'stored', words: change(i), did: [] };
  if (k === RUNS || k === ENDS) {
    const [pid, code, attempt, ...container] = textOf(i).split('|');
    const name = `process ${pid} of ${objects[about[i]].shown}/${container.join('|')}`;
    const end = code === '' ? 'ends' : `ends with ${code}`;
    const again = attempt === '0' ? '' : `, attempt ${+attempt + 1}`;
    return { sort: 'process', who: nodes[who[i]].name, words: `${name} ${k === RUNS ? `starts${again}` : end}`, did: [] };
  }
  if (k === BORN) return { sort: 'actor', who: actorOf(i).name, words: life(i)[1] > 1 ? `starts again, life ${life(i)[1]}` : 'starts', did: [] };
  if (k === CRASHES) return { sort: 'actor', who: actorOf(i).name, words: textOf(i), did: [] };
  if (k === FREEZES) return { sort: 'actor', who: actorOf(i).name, words: 'freezes: it takes no step', did: [] };
  if (k === THAWS) return { sort: 'actor', who: actorOf(i).name, words: 'goes on', did: [] };
  if (k === UP) return { sort: 'actor', who: nodes[who[i]].name, words: 'has power again', did: [] };
  if (k === DOWN) return { sort: 'fault', who: nodes[who[i]].name, words: 'loses power', did: [] };
  if (k === FAULT) return { sort: 'fault', who: 'fault', words: textOf(i), did: [] };
  if (k === HEAL) return { sort: 'fault', who: 'over', words: faultAt.has(i) ? faultAt.get(i).text : 'a fault from before', did: [] };
  if (k === VIOLATION) return { sort: 'violation-entry', who: violationAt.get(i).name, words: textOf(i), did: [] };
  return { sort: 'actor', who: 'end', words: 'of the run', did: [] };
}
const chats = i => about[i] >= 0 && (objects[about[i]].kind === 'Event' || objects[about[i]].kind === 'Lease');
/** What only carries: the API server's own steps. */
const isPlumbing = i => kind[i] === STEP && actorOf(i) === server;
/** What a person would call an event. */
const notable = i => kind[i] === STEP ? actorOf(i).name === 'operator' && textOf(i).includes('\n') : !(kind[i] <= DELETE && chats(i));
const landmarks = [];
for (let i = 0; i < ROWS; i++) if (notable(i)) landmarks.push(i);

// --- Causes --------------------------------------------------------------------------------------------------------

const DEEP = 60;
function causes(i, into) {
  for (let c = cause[i], deep = 0; c >= 0 && deep < DEEP && !into.has(c); c = cause[c], deep++) into.add(c);
}
let effects = null;
function effectsOf(i) {
  if (!effects) {
    effects = new Map();
    for (let e = 0; e < ROWS; e++) if (cause[e] >= 0) {
      const list = effects.get(cause[e]);
      if (list) list.push(e); else effects.set(cause[e], [e]);
    }
  }
  return effects.get(i) || [];
}
/** All that led to what happened to an object, and what hit it. */
function storyOf(object) {
  const story = new Set();
  const add = i => { story.add(i); causes(i, story); };
  object.writes.forEach(add);
  const pod = object.pod, node = pod ? pod.bars.map(bar => bar.lane).find(lane => lane !== waiting) : nodeNamed.get(object.kind === 'Node' ? object.name : '');
  if (pod) for (let i = 0; i < ROWS; i++) if ((kind[i] === RUNS || kind[i] === ENDS) && about[i] === object.id) add(i);
  if (node) {
    const from = pod ? pod.from : FROM, to = pod ? pod.to : TO;
    const meanwhile = i => { if (i >= 0 && when[i] >= from && when[i] <= to) story.add(i); };
    data.faults.filter(fault => fault.node === node).forEach(fault => { meanwhile(fault.row); if (fault.heal !== undefined) meanwhile(fault.heal); });
    for (let i = 0; i < ROWS; i++) if ((kind[i] === UP || kind[i] === DOWN) && nodes[who[i]] === node) meanwhile(i);
  }
  for (const violation of data.violations) if (violation.objects.includes(object.id)) add(violation.row);
  return [...story].sort((a, b) => a - b);
}
function chainOf(i) {
  const chain = new Set([i]);
  causes(i, chain);
  const past = [...chain].sort((a, b) => a - b);
  return { past, next: effectsOf(i) };
}

// --- The scale of time ---------------------------------------------------------------------------------------------

// Most of the room goes to gaps between events by the logarithm of their length: ten milliseconds in which a hundred
// things happen get as much of it as ten idle seconds. The rest goes by the clock, so that a long time stays long.
const CLOCK = .4;
const knots = { at: [FROM], place: [0] };
(function squeeze() {
  let place = 0, last = FROM;
  for (let i = 0; i <= ROWS; i++) {
    const at = i < ROWS ? when[i] : TO;
    if (at <= last) continue;
    place += Math.log1p((at - last) / 1e6);
    knots.at.push(at);
    knots.place.push(place);
    last = at;
  }
  knots.at = Float64Array.from(knots.at);
  knots.place = Float64Array.from(knots.place, (value, i) => (value / (place || 1) + (knots.at[i] - FROM) / (TO - FROM) * CLOCK) / (1 + CLOCK));
})();
function mapped(value, from, to) {
  const i = Math.min(Math.max(bisect(from, value), 1), from.length - 1);
  if (from.length < 2) return to[0];
  const part = (value - from[i - 1]) / (from[i] - from[i - 1] || 1);
  return to[i - 1] + part * (to[i] - to[i - 1]);
}
const scales = {
  squeezed: { place: time => mapped(time, knots.at, knots.place), time: place => mapped(place, knots.place, knots.at) },
  even: { place: time => (time - FROM) / (TO - FROM), time: place => FROM + place * (TO - FROM) },
};

// --- What is shown -------------------------------------------------------------------------------------------------

// A node that was not well has room for words at the foot of its lane.
const AXIS = 22, ROW = 15, BAR = 12, FOOT = 10;
// More sets than this would hide the nodes below them.
const MANY_SETS = 30, MANY_NODES = 40;
const view = {
  scale: 'squeezed', from: 0, to: 1, cursor: FROM, find: '', expanded: new Set(),
  closed: new Set(sets.length > MANY_SETS ? ['sets'] : []),
  density: nodes.length <= MANY_NODES && pods.length <= 1500 ? 'bars' : 'strips',
  chosen: null, focus: NONE, story: [], plumbing: false, playing: false,
};
const scroll = $('scroll'), pane = $('pane'), labels = $('labels'), canvas = $('lanes'), overview = $('overview');
const paint = canvas.getContext('2d'), sketch = overview.getContext('2d');
let width = 600, height = 400, color = {}, lanes = [], total = 0, hatches = {};

const place = time => scales[view.scale].place(time);
const timeAt = where => scales[view.scale].time(Math.min(1, Math.max(0, where)));
const x = time => (place(time) - view.from) / (view.to - view.from) * width;
const timeAtX = px => timeAt(view.from + px / width * (view.to - view.from));

function readColors() {
  const style = getComputedStyle(root);
  const names = ['bg', 'card', 'ink', 'soft', 'faint', 'line', 'lane', 'head', 'accent', 'fault', 'violation', 'down', 'notready',
    'silent', 'process', 'tick', 'arrow', ...STATES];
  color = Object.fromEntries(names.map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
  color.states = STATES.map(name => color[name]);
  hatches = { fault: hatch(color.fault, .5), down: hatch(color.soft, .5), cordoned: hatch(color.accent, .45, true) };
}
function hatch(stroke, alpha, falls = false) {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 8;
  const brush = tile.getContext('2d');
  brush.globalAlpha = alpha;
  brush.strokeStyle = stroke;
  brush.lineWidth = 1.6;
  brush.beginPath();
  for (const shift of [-8, 0, 8]) { brush.moveTo(shift, falls ? 0 : 8); brush.lineTo(shift + 8, falls ? 8 : 0); }
  brush.stroke();
  return paint.createPattern(tile, 'repeat');
}

const found = pod => !view.find || pod.object.key.toLowerCase().includes(view.find) || pod.owner.toLowerCase().includes(view.find);
function layOut() {
  const wanted = view.find, has = text => text.toLowerCase().includes(wanted);
  lanes = [];
  // A search opens all groups.
  const head = (group, label) => {
    lanes.push({ sort: 'head', group, label, high: 20 });
    return wanted || !view.closed.has(group);
  };
  const add = (opened, list) => { if (opened) lanes.push(...list); };
  if (!wanted) {
    const whole = [{ sort: 'census', label: 'all pods', high: 52 }];
    if (faultRows.length) whole.push({ sort: 'faults', label: 'what goes wrong', high: Math.min(faultRows.length, 8) * 17 + 4 });
    add(head('whole', 'The whole cluster'), whole);
  }
  const control = actors.filter(actor => actor.node === null && (!wanted || has(actor.name)))
    .sort((a, b) => (b.name === 'operator') - (a.name === 'operator'));
  if (control.length) add(head('control', 'Control plane'), control.map(actor => ({ sort: 'actor', actor, label: actor.name, high: 24 })));
  const shownSets = sets.filter(set => !wanted || has(set.key));
  const setHigh = shownSets.length > 8 ? 16 : 26;
  if (shownSets.length) add(head('sets', `Replica sets (${shownSets.length})`), shownSets.map(set => ({ sort: 'set', set, label: set.shown, high: setHigh })));
  const queued = waiting.bars.filter(bar => found(bar.pod));
  if (queued.length) {
    const opened = head('queue', 'Not on a node yet');
    const tall = waiting.rows.length <= 6 || view.expanded.has(waiting);
    add(opened, [{ sort: 'pods', pods: waiting, label: 'waiting for a node', rows: tall, high: tall ? waiting.rows.length * ROW + 8 : 34 }]);
  }
  const shown = nodes.filter(node => !wanted || has(node.name) || node.bars.some(bar => found(bar.pod)));
  const part = shown.length < nodes.length ? ` of ${nodes.length}` : '';
  // Among hundreds of nodes those that something happened to would not be found.
  const hit = nodes.length > MANY_NODES ? shown.filter(node => node.spells.length || faultsOf(node).length) : [];
  const groups = hit.length && hit.length < shown.length
    ? [['hit', `Nodes in trouble (${hit.length})`, hit], ['nodes', `Other nodes (${shown.length - hit.length}${part})`, shown.filter(node => !hit.includes(node))]]
    : [['nodes', `Nodes (${shown.length}${part})`, shown]];
  for (const [group, title, members] of groups) if (members.length && head(group, title)) for (const node of members) {
    const rows = view.density === 'bars' || view.expanded.has(node) || (wanted && shown.length <= 12);
    const high = rows ? Math.max(node.rows.length, 1) * ROW + (node.spells.length ? 12 + FOOT : 12) : view.density === 'thin' ? 5 : 15;
    lanes.push({ sort: 'pods', pods: node, node, label: node.name, rows, high });
  }
  total = AXIS;
  for (const lane of lanes) { lane.y = total; total += lane.high; }
  $('spacer').style.height = `${total + 30}px`;
  root.dataset.lanes = lanes.filter(lane => lane.sort !== 'head').length;
  root.dataset.nodeLanes = lanes.filter(lane => lane.node).length;
  labelled = '';
  redraw();
}
const laneOf = thing => lanes.find(lane => thing && (lane.pods === thing || lane.actor === thing || lane.set === thing));
const laneAt = y => lanes.find(lane => y >= lane.y && y < lane.y + lane.high);

// Most nodes have as many pods as others: a common measure lets strips be compared.
let fullest = 0;
const mostOnNode = () => fullest || (fullest = nodes.reduce((most, node) => Math.max(most, node.rows.length), 1));

let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; draw(); });
}

let sized = '';
function resize() {
  const dpr = window.devicePixelRatio || 1;
  const high = scroll.clientHeight, wide = Math.max(120, scroll.clientWidth - labels.offsetWidth), whole = overview.clientWidth;
  const size = `${wide} ${high} ${whole} ${dpr}`;
  // To set a canvas's size empties it.
  if (size === sized) return;
  [sized, width, height] = [size, wide, high];
  pane.style.height = `${height}px`;
  for (const [board, w, h] of [[canvas, width, height], [overview, whole, 46]]) {
    board.width = Math.round(w * dpr);
    board.height = Math.round(h * dpr);
    if (board === canvas) { board.style.width = `${w}px`; board.style.height = `${h}px`; }
  }
  paint.setTransform(dpr, 0, 0, dpr, 0, 0);
  sketch.setTransform(dpr, 0, 0, dpr, 0, 0);
  labelled = '';
  if (lanes.length) draw();
}

// --- Drawing -------------------------------------------------------------------------------------------------------

function draw() {
  const top = scroll.scrollTop, first = timeAtX(0), last = timeAtX(width);
  paint.clearRect(0, 0, width, height);
  const seen = lanes.filter(lane => lane.y + lane.high > top + AXIS && lane.y < top + height);
  seen.forEach((lane, i) => {
    const y = lane.y - top;
    paint.fillStyle = lane.sort === 'head' ? color.head : i % 2 && lane.high > 12 ? color.lane : color.card;
    paint.fillRect(0, y, width, lane.high);
  });
  const ticks = axis();
  paint.strokeStyle = color.line;
  paint.lineWidth = 1;
  paint.beginPath();
  for (const { px } of ticks) { paint.moveTo(px + .5, AXIS); paint.lineTo(px + .5, height); }
  paint.stroke();
  for (const lane of seen) {
    const y = lane.y - top;
    paint.save();
    paint.beginPath();
    paint.rect(0, Math.max(y, AXIS), width, lane.high);
    paint.clip();
    DRAW[lane.sort](lane, y, first, last);
    paint.restore();
  }
  for (const violation of data.violations) {
    const px = x(when[violation.row]);
    if (px < -90 || px > width + 5) continue;
    paint.fillStyle = color.violation;
    paint.fillRect(px - 1, AXIS, 2, height);
  }
  arrows(top);
  paint.fillStyle = color.card;
  paint.fillRect(0, 0, width, AXIS);
  paint.fillStyle = color.soft;
  paint.font = '11px ui-monospace, "DejaVu Sans Mono", monospace';
  paint.textBaseline = 'middle';
  paint.textAlign = 'left';
  for (const { px, text } of ticks) paint.fillText(text, px + 3, AXIS / 2);
  paint.fillStyle = color.line;
  paint.fillRect(0, AXIS - 1, width, 1);
  for (const violation of data.violations) {
    const px = x(when[violation.row]);
    if (px >= -2 && px <= width + 2) flag(px, violation.name);
  }
  const px = x(view.cursor);
  if (px >= -1 && px <= width + 1) {
    paint.fillStyle = color.accent;
    paint.fillRect(px - .75, 0, 1.5, height);
    paint.beginPath();
    paint.moveTo(px - 5, 0); paint.lineTo(px + 5, 0); paint.lineTo(px, 7);
    paint.fill();
  }
  drawOverview();
  label(seen, top);
  root.dataset.ready = 'yes';
}
function flag(px, name) {
  paint.font = 'bold 11px system-ui, "DejaVu Sans", sans-serif';
  const wide = paint.measureText(name).width + 10, left = Math.max(0, Math.min(px, width - wide));
  paint.fillStyle = color.violation;
  paint.fillRect(left, 2, wide, 16);
  paint.fillStyle = '#fff';
  paint.fillText(name, left + 5, 10.5);
}
function axis() {
  const ticks = [];
  const add = (time, step) => {
    const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step / 1e9) + 1e-9)));
    ticks.push({ px: Math.round(x(time)), text: `${(time / 1e9).toFixed(digits)} s` });
  };
  const roundest = (from, to) => {
    for (let power = 10 ** Math.ceil(Math.log10(TO)); power >= 100; power /= 10) for (const step of [power, power / 2, power / 5]) {
      const time = Math.ceil(from / step - 1e-9) * step;
      if (time <= to) return [time, step];
    }
    return [from, 1e3];
  };
  if (view.scale === 'even') {
    const first = timeAtX(0), last = timeAtX(width), room = (last - first) / width * 90, power = 10 ** Math.floor(Math.log10(room));
    const step = [1, 2, 5, 10].find(n => n * power >= room) * power;
    for (let nth = Math.ceil(first / step - 1e-9); nth * step <= last; nth++) add(nth * step, step);
  } else for (let px = 0; px < width - 30;) {
    const [time, step] = roundest(timeAtX(px), timeAtX(Math.min(px + 70, width)));
    add(time, step);
    px = Math.max(x(time), px) + 80;
  }
  return ticks;
}
function block(from, to, y, high, fillStyle, least = 1.5) {
  // Whole pixels: neighbours of the same colour show no seam.
  const left = Math.round(Math.max(x(from), -2)), right = Math.round(Math.min(x(to), width + 2));
  if (right < 0 || left > width) return null;
  const wide = Math.max(right - left, least);
  paint.fillStyle = fillStyle;
  paint.fillRect(left, y, wide, high);
  return { left: Math.max(left, 0), wide: wide - Math.max(0, -left) };
}
/** How many of each state, stacked, to the lane's height. */
function stack(board, counts, most, y, high, wide, xOf, timeOf) {
  if (!counts.at.length) return;
  let i = bisect(counts.at, timeOf(0)) - 1;
  for (let px = 0; px < wide;) {
    const next = i + 1 < counts.at.length ? Math.max(px + 1, Math.floor(xOf(counts.at[i + 1]))) : wide;
    const until = Math.min(next, wide);
    if (i >= 0) {
      let base = y + high;
      for (const s of ORDER) {
        const count = counts.counts[i * 7 + s];
        if (!count) continue;
        const tall = count / most * high;
        board.fillStyle = color.states[s];
        board.fillRect(px, base - tall, until - px, tall);
        base -= tall;
      }
    }
    px = until;
    i = bisect(counts.at, timeOf(px)) - 1;
  }
}
// What is well stands at the foot.
const ORDER = [3, 2, 1, 0, 4, 6, 5];

function ticks(steps, y, high, first, last, strong) {
  let i = bisect(steps, bisect(when, first) - 1.5), end = bisect(steps, bisect(when, last) - .5);
  paint.fillStyle = strong ? color.ink : color.tick;
  let drawn = -9;
  // Where there are more steps than pixels, those that fall on a drawn pixel are skipped by search.
  while (i < end) {
    const px = Math.round(x(when[steps[i]]));
    if (px > drawn) { paint.fillRect(px, y, 1.4, high); drawn = px; }
    if (end - i > 4 * width) i = Math.max(i + 1, bisect(steps, bisect(when, timeAtX(px + 1)) - 1)); else i++;
  }
}
function lives(actor, y, high) {
  for (const one of actor.lives) block(one.from, one.to, y, high, color.tick);
  for (const frost of actor.frozen) {
    block(frost.from, frost.to, y - 2, high + 4, color.starting);
    block(frost.from, frost.to, y - 2, high + 4, hatches.down);
  }
}
function faultBands(list, y, high) {
  for (const fault of list) {
    paint.globalAlpha = .13;
    const at = block(fault.from, fault.to, y, high, color.fault, 3);
    paint.globalAlpha = 1;
    if (!at) continue;
    block(fault.from, fault.to, y, high, hatches.fault, 3);
    block(fault.from, fault.to, y, Math.min(2, high), color.fault, 3);
  }
}
const faultsOf = thing => thing.faults || (thing.faults = data.faults.filter(fault => fault.node === thing || fault.actor === thing));
function inside(text, at, y, high, fillStyle, font = '11px system-ui, "DejaVu Sans", sans-serif') {
  if (!at || at.wide < 34) return;
  paint.font = font;
  paint.textBaseline = 'middle';
  paint.fillStyle = fillStyle;
  const most = Math.floor((at.wide - 8) / 6.4);
  const shown = text.length > most ? `${text.slice(0, Math.max(most - 1, 1))}…` : text;
  // A bar's colour changes under its name.
  paint.strokeStyle = 'rgba(0, 0, 0, .38)';
  paint.lineWidth = 2.5;
  paint.lineJoin = 'round';
  paint.strokeText(shown, at.left + 5, y + high / 2 + .5);
  paint.fillText(shown, at.left + 5, y + high / 2 + .5);
}
const faded = pod => view.find ? !found(pod) : false;

const DRAW = {
  head() {},
  census(lane, y) {
    stack(paint, census, census.most, y + 4, lane.high - 6, width, x, timeAtX);
  },
  faults(lane, y, first, last) {
    for (const row of faultRows) for (const { fault, from, to, row: at } of row) {
      if (to < first || from > last) continue;
      const where = y + 2 + at % 8 * 17;
      paint.globalAlpha = .25;
      const box = block(from, to, where, 15, color.fault, 4);
      paint.globalAlpha = 1;
      block(from, to, where, 15, hatches.fault, 4);
      block(from, Math.min(from, to), where, 15, color.fault, 3);
      if (!box) continue;
      const next = row[row.findIndex(one => one.fault === fault) + 1];
      const room = Math.min(next ? x(next.from) : width, width) - box.left - 4;
      // The text may leave its band where nothing follows.
      const wide = Math.max(room, 0);
      if (wide > 40) {
        paint.font = '11px system-ui, "DejaVu Sans", sans-serif';
        const most = Math.floor((wide - 8) / 6.2), text = fault.text.length > most ? `${fault.text.slice(0, most - 1)}…` : fault.text;
        paint.globalAlpha = .8;
        paint.fillStyle = color.card;
        paint.fillRect(box.left + 4, where + 1.5, paint.measureText(text).width + 5, 12);
        paint.globalAlpha = 1;
        paint.fillStyle = color.ink;
        paint.textBaseline = 'middle';
        paint.fillText(text, box.left + 6, where + 8);
      }
    }
  },
  actor(lane, y, first, last) {
    const { actor } = lane;
    faultBands(faultsOf(actor), y, lane.high);
    paint.globalAlpha = .3;
    lives(actor, y + lane.high / 2 - 1.5, 3);
    paint.globalAlpha = 1;
    ticks(actor.steps, y + 5, lane.high - 10, first, last, actor.name === 'operator');
    for (const one of actor.lives) {
      if (one.life > 1 || one.from > FROM) born(x(one.from), y + lane.high / 2);
      if (one.to < TO) cross(x(one.to), y + lane.high / 2);
    }
    if (actor.name === 'operator') asks(actor, y, lane.high);
  },
  set(lane, y) {
    const { set } = lane, tall = lane.high - 5, foot = y + lane.high - 2;
    const turns = set.writes.filter(i => state[i] >= 0).map(i => ({ at: when[i], is: data.states[state[i]] }));
    const most = turns.reduce((top, turn) => Math.max(top, turn.is.wanted || 0, turn.is.replicas || 0), 1);
    turns.forEach((turn, i) => {
      const to = i + 1 < turns.length ? turns[i + 1].at : set.ends === null ? TO : set.ends;
      const { wanted = 0, replicas = 0, ready = 0 } = turn.is;
      block(turn.at, to, foot - replicas / most * tall, replicas / most * tall, color.starting, 1);
      block(turn.at, to, foot - ready / most * tall, ready / most * tall, color.ready, 1);
      block(turn.at, to, foot - wanted / most * tall - 1, 1.5, color.ink, 1);
    });
  },
  pods(lane, y, first, last) {
    const { node, pods: of } = lane;
    if (node) {
      spells(node, y, lane.high);
      faultBands(faultsOf(node), y, lane.high);
    }
    if (!lane.rows) {
      const pad = lane.high > 8 ? 2 : .5;
      const most = node ? mostOnNode() : countsOf(of).most;
      paint.globalAlpha = view.find ? .4 : 1;
      stack(paint, countsOf(of), most, y + pad, lane.high - pad - .5, width, x, timeAtX);
      paint.globalAlpha = 1;
      if (node) over(node, y, lane.high);
      return;
    }
    if (node) for (const kubelet of node.kubelets) {
      paint.globalAlpha = .35;
      lives(kubelet, y + 3, 2);
      paint.globalAlpha = 1;
      ticks(kubelet.steps, y + 1.5, 5, first, last, false);
      for (const one of kubelet.lives) if (one.to < TO) cross(x(one.to), y + 4, 3);
    }
    const start = y + (node ? 9 : 4);
    of.rows.forEach((row, at) => {
      const where = start + at * ROW;
      if (where > height || where + ROW < 0) return;
      for (const bar of row) if (bar.to >= first && bar.from <= last) drawBar(bar, where);
    });
    if (node) over(node, y, lane.high);
  },
};
function drawBar(bar, y) {
  const { pod } = bar;
  paint.globalAlpha = faded(pod) ? .15 : 1;
  const { turns } = pod;
  for (let i = 0; i < turns.length; i++) {
    const from = Math.max(turns[i].at, bar.from), to = Math.min(i + 1 < turns.length ? turns[i + 1].at : pod.to, bar.to);
    if (to < from || (to === from && i + 1 < turns.length)) continue;
    block(from, to, y, BAR, color.states[turns[i].state], 1);
  }
  if (bar.lane !== waiting) for (const process of pod.processes)
    block(process.from, process.to, y + BAR - 3, 3, color.process, 1.5);
  const left = Math.max(x(bar.from), 0), wide = Math.min(x(bar.to), width) - left;
  inside(pod.object.shown, { left, wide }, y, BAR - 2, '#fff', '600 10.5px system-ui, "DejaVu Sans", sans-serif');
  if (pod.violated || (view.chosen && view.chosen.pod === pod)) {
    paint.strokeStyle = pod.violated ? color.violation : color.ink;
    paint.lineWidth = 2;
    paint.strokeRect(left - 1, y - 1, Math.max(wide, 2) + 2, BAR + 2);
  }
  paint.globalAlpha = 1;
}
function spells(node, y, high) {
  for (const { what, from, to } of node.spells) {
    if (what === 'cordoned') { block(from, to, y, high, hatches.cordoned, 1); continue; }
    paint.globalAlpha = what === 'notready' ? .22 : what === 'down' ? .16 : .28;
    block(from, to, y, high, what === 'notready' ? color.notready : what === 'down' ? color.soft : color.silent, 1);
    paint.globalAlpha = 1;
  }
}
// A machine without power lies over what the API server still believes of it.
function over(node, y, high) {
  for (const { what, from, to } of node.spells) if (what === 'down') block(from, to, y, high, hatches.down, 2);
  if (high <= 20) return;
  let free = 0;
  paint.font = '600 9.5px system-ui, "DejaVu Sans", sans-serif';
  paint.textBaseline = 'middle';
  for (const { what, from, to } of [...node.spells].sort((a, b) => a.from - b.from)) {
    const text = SPELLS[what].toUpperCase(), left = Math.max(x(from), free), wide = paint.measureText(text).width;
    if (left + wide + 6 > Math.min(x(to), width)) continue;
    paint.fillStyle = color.card;
    paint.fillRect(left + 2, y + high - FOOT - 1, wide + 4, FOOT - 1);
    paint.fillStyle = color.soft;
    paint.fillText(text, left + 4, y + high - FOOT / 2 - 1);
    free = left + wide + 10;
  }
}
function cross(px, y, r = 5) {
  if (px < -r || px > width + r) return;
  paint.strokeStyle = color.failed;
  paint.lineWidth = 2;
  paint.beginPath();
  paint.moveTo(px - r, y - r); paint.lineTo(px + r, y + r);
  paint.moveTo(px + r, y - r); paint.lineTo(px - r, y + r);
  paint.stroke();
}
function born(px, y) {
  if (px < -5 || px > width + 5) return;
  paint.fillStyle = color.tick;
  paint.beginPath();
  paint.moveTo(px, y - 5); paint.lineTo(px + 6, y); paint.lineTo(px, y + 5);
  paint.fill();
}
function asks(actor, y, high) {
  paint.font = '11px system-ui, "DejaVu Sans", sans-serif';
  let until = -9;
  for (const i of actor.steps) {
    const did = textOf(i).split('\n').slice(1);
    const px = x(when[i]);
    if (!did.length || px < until || px > width || px < -200) continue;
    const text = cap(plain(did[0]).replace(/^asks to /, ''), 40), wide = paint.measureText(text).width + 8;
    paint.fillStyle = color.card;
    paint.globalAlpha = .85;
    paint.fillRect(px + 2, y + 3, wide, high - 6);
    paint.globalAlpha = 1;
    paint.fillStyle = color.ink;
    paint.fillRect(px, y + 3, 2, high - 6);
    paint.textBaseline = 'middle';
    paint.fillText(text, px + 5, y + high / 2 + .5);
    until = px + wide;
  }
}

/** Where an entry is drawn, from the top of all lanes. */
function spot(i) {
  const k = kind[i];
  let lane = null, shift = null;
  if (k === STEP || (k >= BORN && k <= THAWS)) {
    const actor = actorOf(i);
    lane = laneOf(actor.node === null ? actor : nodes[actor.node]);
    if (lane && lane.node) shift = Math.min(4, lane.high / 2);
  } else if (k <= DELETE || k === RUNS || k === ENDS) {
    const object = objects[about[i]];
    if (object.pod) {
      const bar = object.pod.bars.find(one => when[i] >= one.from && when[i] < one.to) || object.pod.bars[object.pod.bars.length - 1];
      lane = bar && laneOf(bar.lane);
      if (lane && lane.rows) shift = (lane.node ? 9 : 4) + bar.row * ROW + (k <= DELETE ? 4 : BAR - 2);
    } else lane = laneOf(object.kind === 'ReplicaSet' ? object : object.kind === 'Node' ? nodeNamed.get(object.name) : server);
  } else if (k === UP || k === DOWN) lane = laneOf(nodes[who[i]]);
  else if (k === FAULT || k === HEAL) {
    const fault = faultAt.get(i);
    lane = fault && (laneOf(fault.node) || laneOf(fault.actor) || lanes.find(one => one.sort === 'faults'));
  }
  return lane ? { x: x(when[i]), y: lane.y + (shift === null ? lane.high / 2 : shift), lane } : null;
}
const shownIn = i => view.plumbing || !isPlumbing(i) || i === view.focus;
const CROWD = 90;
function arrows(top) {
  const story = view.story.filter(shownIn);
  const inStory = new Set(story);
  const spots = new Map(story.map(i => [i, spot(i)]));
  paint.lineWidth = 1.5;
  for (const i of story) {
    const to = spots.get(i);
    let c = cause[i];
    while (c >= 0 && !inStory.has(c)) c = cause[c];
    const from = c >= 0 ? spots.get(c) : null;
    // Of a long story only the arrows of the entry that is looked at.
    if (!to || (story.length > CROWD && i !== view.focus && c !== view.focus)) continue;
    if (from && !(Math.abs(from.x - to.x) < 1 && Math.abs(from.y - to.y) < 1)) arrow(from.x, from.y - top, to.x, to.y - top, i === view.focus || c === view.focus);
  }
  for (const i of story) {
    const at = spots.get(i);
    if (!at || at.y - top < AXIS || at.x < -8 || at.x > width + 8) continue;
    paint.beginPath();
    paint.arc(at.x, at.y - top, i === view.focus ? 6 : 3, 0, 7);
    paint.fillStyle = kind[i] === FAULT ? color.fault : kind[i] <= DELETE && kind[i] !== STEP ? color.accent : color.ink;
    paint.fill();
    paint.lineWidth = 1.5;
    paint.strokeStyle = color.card;
    paint.stroke();
  }
}
function arrow(x0, y0, x1, y1, strong) {
  if ((x0 < -50 && x1 < -50) || (x0 > width + 50 && x1 > width + 50)) return;
  paint.globalAlpha = strong ? 1 : .55;
  paint.strokeStyle = paint.fillStyle = strong ? color.accent : color.arrow;
  paint.lineWidth = strong ? 2 : 1.3;
  const bend = Math.max(10, Math.abs(x1 - x0) * .35);
  paint.beginPath();
  paint.moveTo(x0, y0);
  paint.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1 - 4, y1);
  paint.stroke();
  paint.beginPath();
  paint.moveTo(x1 - 1, y1); paint.lineTo(x1 - 8, y1 - 3.5); paint.lineTo(x1 - 8, y1 + 3.5);
  paint.fill();
  paint.globalAlpha = 1;
}

function drawOverview() {
  const wide = overview.clientWidth, at = time => place(time) * wide;
  sketch.clearRect(0, 0, wide, 46);
  stack(sketch, census, census.most, 8, 36, wide, at, px => timeAt(px / wide));
  for (const fault of data.faults) {
    sketch.fillStyle = color.fault;
    sketch.fillRect(at(fault.from), 2, Math.max(2, at(fault.to) - at(fault.from)), 4);
  }
  for (const i of overviewTicks()) {
    sketch.fillStyle = color.ink;
    sketch.fillRect(at(when[i]), 41, 1.5, 5);
  }
  for (const violation of data.violations) {
    sketch.fillStyle = color.violation;
    sketch.fillRect(at(when[violation.row]) - 1, 0, 3, 46);
  }
  sketch.globalAlpha = .6;
  sketch.fillStyle = color.bg;
  sketch.fillRect(0, 0, view.from * wide, 46);
  sketch.fillRect(view.to * wide, 0, wide, 46);
  sketch.globalAlpha = 1;
  sketch.strokeStyle = color.accent;
  sketch.lineWidth = 1.5;
  sketch.strokeRect(view.from * wide + .75, .75, Math.max(3, (view.to - view.from) * wide - 1.5), 44.5);
  sketch.fillStyle = color.accent;
  sketch.fillRect(at(view.cursor) - .75, 0, 1.5, 46);
}
let asksOfAll = null;
const overviewTicks = () => asksOfAll || (asksOfAll = landmarks.filter(i => kind[i] === STEP));

let labelled = '';
function label(seen, top) {
  const drawn = `${top} ${seen.length ? `${lanes.indexOf(seen[0])}+${seen.length}` : ''} ${view.find} ${view.cursor} ${chosenKey()}`;
  if (drawn === labelled) return;
  labelled = drawn;
  labels.replaceChildren();
  for (const lane of seen) {
    const clickable = lane.sort !== 'census' && lane.sort !== 'faults';
    const one = document.createElement(clickable ? 'button' : 'div');
    one.className = `lane ${lane.sort === 'head' ? 'head' : ''} ${lane.high > 44 ? 'tall' : ''} ${lane.high < 10 ? 'thin' : ''}`;
    if (view.chosen && (view.chosen.node === (lane.node || 0) || view.chosen.object === (lane.set || 0))) one.classList.add('chosen');
    // The name of a lane whose top is out of view stays in view.
    const hidden = Math.max(0, Math.min(top + AXIS - lane.y, lane.high - 18));
    one.style.top = `${lane.y - top + hidden}px`;
    one.style.height = `${lane.high - hidden}px`;
    const name = document.createElement('span');
    name.className = 'name';
    name.textContent = lane.sort === 'head' ? `${view.closed.has(lane.group) ? '▸' : '▾'} ${lane.label}` : lane.label;
    one.append(name);
    one.title = lane.label;
    const is = document.createElement('span');
    is.className = 'is';
    is.textContent = lane.high >= 14 ? nowOf(lane) : '';
    one.append(is);
    if (lane.sort === 'head') { one.type = 'button'; one.onclick = () => toggle(lane.group); }
    else if (clickable) { one.type = 'button'; one.onclick = () => choose(lane.node ? { node: lane.node } : lane.set ? { object: lane.set } : lane.actor ? { actor: lane.actor } : null, lane); }
    labels.append(one);
  }
  const corner = document.createElement('div');
  corner.className = 'axis';
  corner.textContent = view.scale === 'squeezed' ? 'time, quiet squeezed' : 'time';
  labels.append(corner);
}
function toggle(group) {
  if (view.closed.has(group)) view.closed.delete(group); else view.closed.add(group);
  layOut();
}
/** A lane at the cursor, in a word. */
function nowOf(lane) {
  const now = view.cursor;
  if (lane.sort === 'census') return `${countsAt(census, now).reduce((sum, count) => sum + count)}`;
  if (lane.sort === 'set') {
    const is = setAt(lane.set, now);
    return is ? `${is.ready || 0}/${is.wanted || 0}` : '';
  }
  if (lane.sort === 'actor') {
    if (lane.actor.frozen.some(frost => frost.from <= now && now < frost.to)) return 'frozen';
    return lane.actor.lives.some(one => one.from <= now && now <= one.to) ? '' : lane.actor.lives.length ? 'not running' : '';
  }
  if (lane.sort !== 'pods') return '';
  const count = countsAt(countsOf(lane.pods), now).reduce((sum, one) => sum + one);
  const bad = lane.node ? spellsAt(lane.node, now)[0] || '' : '';
  return bad || (count ? `${count}` : '');
}
const SPELLS = { down: 'no power', silent: 'silent', notready: 'NotReady', cordoned: 'cordoned' };
const spellsAt = (node, now) => Object.keys(SPELLS).filter(what => node.spells.some(one => one.what === what && one.from <= now && now < one.to)).map(what => SPELLS[what]);
function setAt(set, now) {
  const at = bisect(set.writes.map(i => when[i]), now) - 1;
  return at >= 0 && (set.ends === null || now < set.ends) && state[set.writes[at]] >= 0 ? data.states[state[set.writes[at]]] : null;
}

// --- Choosing ------------------------------------------------------------------------------------------------------

const chosenKey = () => {
  const one = view.chosen;
  return !one ? '' : one.pod ? one.pod.object.id : one.object ? one.object.id : one.node ? `n${one.node.id}` : one.actor ? `a${one.actor.name}` : `s${one.row}`;
};
/** Selects a thing: `{pod}`, `{object}`, `{node}`, `{actor}` or `{row}`; nothing for null. */
function choose(thing, lane) {
  // A second click on a strip opens it.
  if (lane && lane.sort === 'pods' && (view.density !== 'bars' || lane.pods === waiting)) {
    if (view.expanded.has(lane.pods)) view.expanded.delete(lane.pods); else view.expanded.add(lane.pods);
    layOut();
  }
  if (lane && !thing) return;
  view.chosen = thing;
  view.focus = thing && thing.row !== undefined ? thing.row : NONE;
  view.story = !thing ? [] : thing.pod ? storyOf(thing.pod.object) : thing.object ? storyOf(thing.object)
    : thing.row !== undefined ? chainOf(thing.row).past
    : thing.node ? storyOf(objects.find(object => object.kind === 'Node' && object.name === thing.node.name) || { writes: [], pod: null, kind: 'Node', name: thing.node.name, id: NONE })
    : [];
  address();
  panel();
  redraw();
}
function focusOn(i) {
  view.focus = i;
  setCursor(when[i], false);
  show(i);
  address();
  panel();
  redraw();
}
/** Brings an entry into view. */
function show(i) {
  const where = place(when[i]), wide = view.to - view.from;
  if (where < view.from || where > view.to) look(where - wide / 2, where + wide / 2);
  const at = spot(i);
  if (at) reveal(at.y);
}
function reveal(y) {
  const top = scroll.scrollTop;
  if (y < top + AXIS + 20 || y > top + height - 30) scroll.scrollTop = Math.max(0, y - height / 2);
}
function look(from, to) {
  const least = 1e-7, wide = Math.min(1, Math.max(to - from, least));
  view.from = Math.min(Math.max(0, from), 1 - wide);
  view.to = view.from + wide;
  redraw();
}
function zoom(factor, around = .5) {
  const middle = view.from + (view.to - view.from) * around, wide = (view.to - view.from) * factor;
  look(middle - wide * around, middle + wide * (1 - around));
}
function zoomToChosen() {
  let from = TO, to = FROM;
  const take = (a, b) => { from = Math.min(from, a); to = Math.max(to, b); };
  view.story.forEach(i => take(when[i], when[i]));
  if (view.chosen && view.chosen.pod) take(view.chosen.pod.from, view.chosen.pod.to);
  if (from > to) return;
  const a = place(from), b = place(to), pad = Math.max((b - a) * .06, 1e-5);
  look(a - pad, b + pad);
}
function setCursor(time, draws = true) {
  view.cursor = Math.min(Math.max(time, FROM), TO);
  $('cursor').value = place(view.cursor);
  $('cursor').setAttribute('aria-valuetext', `${secs(view.cursor)} seconds`);
  $('now').textContent = `${secs(view.cursor, 4)} s`;
  if (draws) { panel(); redraw(); }
}
function stepBy(direction) {
  const list = view.story.length ? view.story.filter(shownIn) : landmarks;
  if (!list.length) return;
  const now = view.focus !== NONE && list.includes(view.focus) ? view.focus : bisect(when, view.cursor) - (direction > 0 ? 1 : 0) - .5;
  const at = direction > 0 ? list.findIndex(i => i > now) : list.findLastIndex(i => i < now);
  if (at >= 0) focusOn(list[at]);
}

// --- The panel -----------------------------------------------------------------------------------------------------

function el(tag, attributes, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {}))
    if (name.startsWith('on')) one[name] = value; else if (value !== null && value !== undefined) one.setAttribute(name, value);
  one.append(...children.filter(child => child !== null && child !== undefined));
  return one;
}
const swatch = s => el('i', { style: `background:var(--${STATES[s]})` });
function entry(i, previous) {
  const { sort, who: name, words, did } = tale(i);
  // Of thirty things that a step did, those about what is selected matter here.
  const mine = view.chosen && view.chosen.pod ? did.filter(one => one.includes(view.chosen.pod.object.name)) : [];
  const told = mine.length ? mine : did, left = did.length - Math.min(told.length, 6);
  const gap = previous === NONE || when[i] === when[previous] ? '' : `+${span(when[i] - when[previous])}`;
  const raw = kind[i] === STEP ? textOf(i) : null;
  const late = when[i] > view.cursor && !view.chosen ? ' to-come' : '';
  return el('li', { class: `${sort}${i === view.focus ? ' focus' : ''}${late}`, 'data-seq': seq[i] },
    el('button', { type: 'button', title: raw, onclick: () => focusOn(i) },
      el('span', { class: 'dot' }),
      el('span', { class: 'words' },
        el('time', {}, secs(when[i])), gap ? el('span', { class: 'gap' }, gap) : null,
        el('span', { class: 'who' }, name), ` ${cap(words)}`,
        ...told.slice(0, 6).map(one => el('span', { class: 'did' }, cap(one))),
        left ? el('span', { class: 'did' }, `and ${left} more`) : null)));
}
const MANY = 400;
let shownMany = MANY;
function list(rows, id) {
  const items = [];
  let previous = NONE;
  for (const i of rows.slice(0, shownMany)) { items.push(entry(i, previous)); previous = i; }
  const all = el('ol', { class: 'story', id });
  all.append(...items);
  if (rows.length > shownMany) all.append(el('li', {}, el('button', { type: 'button', onclick: () => { shownMany += 2000; panel(); } }, '', `${rows.length - shownMany} more`)));
  return all;
}
function podLink(pod, text) {
  return el('button', { type: 'button', onclick: () => { choose({ pod }); const bar = pod.bars[pod.bars.length - 1]; if (bar) revealBar(bar); } }, text || pod.object.shown);
}
function revealBar(bar) {
  if (!laneOf(bar.lane)) return;
  if (!laneOf(bar.lane).rows) { view.expanded.add(bar.lane); layOut(); }
  const lane = laneOf(bar.lane);
  reveal(lane.y + 10 + bar.row * ROW);
  redraw();
}
function plumbingSwitch() {
  const box = el('input', { type: 'checkbox', onchange: event => { view.plumbing = event.target.checked; panel(); redraw(); } });
  box.checked = view.plumbing;
  return el('label', { class: 'hint' }, box, ' with the API server’s own steps');
}
const buttons = () => el('div', { class: 'row' },
  el('button', { type: 'button', onclick: zoomToChosen, title: 'z' }, 'Zoom to it'),
  el('button', { type: 'button', onclick: () => choose(null), title: 'Esc' }, 'Close'), plumbingSwitch());

function panel() {
  const board = $('panel'), one = view.chosen;
  const kept = board.scrollTop, same = board.dataset.of === chosenKey() + (one ? '' : '-');
  board.replaceChildren(...(!one ? cursorPanel() : one.pod ? podPanel(one.pod) : one.node ? nodePanel(one.node)
    : one.actor ? actorPanel(one.actor) : one.object ? objectPanel(one.object) : rowPanel(one.row)));
  board.dataset.of = chosenKey() + (one ? '' : '-');
  board.scrollTop = same ? kept : 0;
  const focus = board.querySelector('.focus');
  if (focus && one) focus.scrollIntoView({ block: 'nearest' });
}
function podPanel(pod) {
  const now = pod.turns.filter(turn => turn.at <= view.cursor).pop();
  const is = view.cursor >= pod.to && pod.to < TO ? 'gone' : now ? WORDS[STATES[now.state]] : 'not yet created';
  const { object } = pod, bound = pod.turns.find(turn => turn.node !== NONE);
  const owner = pod.owner && sets.find(set => set.key === pod.owner || set.key.replace(/^ReplicaSet\/[^/]*\//, 'ReplicaSet/') === pod.owner);
  return [
    el('h3', {}, object.shown),
    el('div', { class: 'row' }, el('span', { class: 'chip' }, now && is !== 'gone' ? swatch(now.state) : null, `pod · at the cursor: ${is}`)),
    el('div', { class: 'row hint' }, `lives ${secs(pod.from)} – ${pod.to < TO ? secs(pod.to) : 'the end'}`,
      bound ? el('button', { type: 'button', onclick: () => choose({ node: bound.node }) }, bound.node.name) : null,
      owner ? el('button', { type: 'button', onclick: () => choose({ object: owner }) }, owner.shown) : pod.owner ? ` of ${pod.owner}` : null),
    pod.processes.length ? el('div', { class: 'hint' }, `processes: ${pod.processes.map(process => `${process.pid}${process.ended ? ` (ended${process.code ? ` ${process.code}` : ''})` : ''}`).join(', ')}`) : null,
    ...data.violations.filter(violation => violation.objects.includes(object.id)).map(violation => el('div', { class: 'violation' }, `${violation.name}: ${textOf(violation.row)}`)),
    buttons(),
    el('h4', {}, 'What happened to it, and why'),
    list(view.story.filter(shownIn), 'story'),
  ].filter(Boolean);
}
function objectPanel(object) {
  const mine = object.kind === 'ReplicaSet' ? pods.filter(pod => pod.owner === object.key || pod.owner === `ReplicaSet/${object.name}`) : [];
  return [
    el('h3', {}, object.shown), el('div', { class: 'hint' }, SHORT[object.kind] || object.kind), buttons(),
    mine.length ? el('h4', {}, `Its pods (${mine.length})`) : null,
    mine.length ? el('div', { class: 'row' }, ...mine.slice(0, 30).map(pod => podLink(pod)), mine.length > 30 ? `and ${mine.length - 30} more` : null) : null,
    el('h4', {}, 'What happened to it, and why'), list(view.story.filter(shownIn), 'story'),
  ].filter(Boolean);
}
function nodePanel(node) {
  const is = spellsAt(node, view.cursor);
  const here = node.bars.filter(bar => bar.from <= view.cursor && view.cursor <= bar.to);
  return [
    el('h3', {}, node.name),
    el('div', {}, `node · at the cursor: ${is.length ? is.join(', ') : 'up'}, ${here.length} pod${here.length === 1 ? '' : 's'}`), buttons(),
    el('h4', {}, here.length ? 'Its pods at the cursor' : 'All its pods'),
    el('div', { class: 'row' }, ...(here.length ? here : node.bars).slice(0, 40).map(bar => podLink(bar.pod))),
    el('h4', {}, 'What happened to it, and why'), list(view.story.filter(shownIn), 'story'),
  ];
}
function actorPanel(actor) {
  const from = bisect(actor.steps, bisect(when, view.cursor) - .5);
  const near = actor.steps.slice(Math.max(0, from - 40), from + 40);
  return [
    el('h3', {}, actor.name),
    el('div', { class: 'hint' }, `${actor.steps.length} steps, ${actor.lives.length} ${actor.lives.length === 1 ? 'life' : 'lives'}`), buttons(),
    el('h4', {}, 'What it does around the cursor'), list(near, 'story'),
  ];
}
function rowPanel(i) {
  const { past, next } = chainOf(i);
  const lost = past.some(p => cause[p] === LOST);
  const fault = faultAt.get(i), violation = violationAt.get(i);
  return [
    el('h3', {}, violation ? `Violated: ${violation.name}` : fault ? 'A fault' : `Event ${seq[i]}`),
    violation ? el('div', { class: 'violation' }, el('p', {}, 'Must always hold: ', el('q', {}, violation.statement)), el('p', {}, 'But: ', el('strong', {}, textOf(i)))) : null,
    violation ? el('div', { class: 'row' }, ...violation.objects.map(id => objects[id]).map(object => object.pod ? podLink(object.pod)
      : el('button', { type: 'button', onclick: () => choose({ object }) }, object.shown))) : null,
    fault ? el('p', {}, fault.text) : null,
    fault ? el('p', { class: 'hint' }, `hits ${fault.target} from ${secs(fault.from)} to ${fault.heal === undefined ? 'the end' : secs(fault.to)}`) : null,
    buttons(),
    el('h4', {}, 'What led to it'),
    lost ? el('p', { class: 'hint' }, 'What came before is not in this trace.') : null,
    list(past.filter(p => shownIn(p) || p === i), 'story'),
    next.length ? el('h4', {}, 'What it led to') : null,
    next.length ? list(next.slice(0, 60), 'next') : null,
  ].filter(Boolean);
}
function cursorPanel() {
  const now = view.cursor, counts = countsAt(census, now);
  const up = nodes.filter(node => !spellsAt(node, now).length).length;
  const at = bisect(landmarks, bisect(when, now) - .5);
  const near = landmarks.slice(Math.max(0, at - 10), at + 14);
  const going = data.faults.filter(fault => fault.from <= now && now < fault.to);
  return [
    el('h3', {}, `At ${secs(now)} s`),
    el('p', { class: 'hint' }, 'Click a pod, a node, a tick or a fault to learn why it is as it is; ▶ plays the run.'),
    el('div', { class: 'states' }, ...counts.flatMap((count, s) => count ? [el('span', { class: 'chip' }, swatch(s)), el('b', {}, `${count}`), el('span', {}, `pod${count === 1 ? '' : 's'}: ${WORDS[STATES[s]]}`)] : [])),
    nodes.length ? el('div', {}, `nodes that are well: ${up} of ${nodes.length}`) : null,
    ...going.slice(0, 6).map(fault => el('div', { style: 'color:var(--fault)' }, `now: ${fault.text}`)),
    el('h4', {}, 'Around this time'),
    list(near, 'story'),
  ].filter(Boolean);
}

// --- Hovering and clicking -----------------------------------------------------------------------------------------

function hit(px, py) {
  const y = py + scroll.scrollTop, lane = py < AXIS ? null : laneAt(y), time = timeAtX(px);
  const near = (from, to) => x(from) - 3 <= px && px <= x(to) + 3;
  const hits = { lane, time, bar: null, row: NONE, faults: [] };
  for (const violation of data.violations) if (Math.abs(x(when[violation.row]) - px) < 4) hits.row = violation.row;
  if (!lane) return hits;
  const nearest = steps => {
    const at = bisect(steps, bisect(when, time) - .5);
    const best = [steps[at - 1], steps[at]].filter(i => i !== undefined).sort((a, b) => Math.abs(x(when[a]) - px) - Math.abs(x(when[b]) - px))[0];
    return best !== undefined && Math.abs(x(when[best]) - px) < 4 ? best : NONE;
  };
  if (lane.sort === 'faults') {
    const row = Math.floor((y - lane.y - 2) / 17);
    hits.faults = faultRows.flat().filter(one => one.row % 8 === row && near(one.from, Math.max(one.to, timeAtX(x(one.from) + 60)))).map(one => one.fault);
  }
  if (lane.sort === 'actor') {
    if (hits.row === NONE) hits.row = nearest(lane.actor.steps);
    hits.faults = faultsOf(lane.actor).filter(fault => near(fault.from, fault.to));
  }
  if (lane.sort === 'pods') {
    if (lane.node) hits.faults = faultsOf(lane.node).filter(fault => near(fault.from, fault.to));
    if (lane.rows) {
      const shift = y - lane.y - (lane.node ? 9 : 4), row = lane.pods.rows[Math.floor(shift / ROW)];
      if (shift < 0 && lane.node && hits.row === NONE) hits.row = nearest(lane.node.kubelets.flatMap(one => one.steps));
      if (row && shift >= 0) hits.bar = row.find(bar => near(bar.from, bar.to) && bar.from <= time && time <= bar.to) || row.find(bar => near(bar.from, bar.to)) || null;
    }
  }
  return hits;
}
function tip(event) {
  const box = $('tip'), { left, top } = canvas.getBoundingClientRect();
  const { lane, time, bar, row, faults } = hit(event.clientX - left, event.clientY - top);
  const lines = [];
  if (row !== NONE) {
    const { who: name, words, did } = tale(row);
    lines.push(el('p', {}, el('b', {}, `${secs(when[row])}  ${name} `), cap(words)), ...did.slice(0, 3).map(one => el('p', {}, `→ ${cap(one, 140)}`)));
  }
  if (bar) {
    const turn = bar.pod.turns.filter(one => one.at <= time).pop();
    lines.push(el('p', {}, el('b', {}, bar.pod.object.shown)));
    if (turn) lines.push(el('p', { class: 'chip' }, swatch(turn.state), `${WORDS[STATES[turn.state]]}${turn.is.status && turn.is.status !== turn.is.phase ? ` (${turn.is.status})` : ''}`));
    const process = bar.pod.processes.find(one => one.from <= time && time <= one.to);
    if (bar.lane !== waiting) lines.push(el('p', {}, process ? `process ${process.pid} is there` : 'no process is there'));
  }
  if (lane && lane.node) {
    const is = spellsAt(lane.node, time);
    if (is.length) lines.push(el('p', {}, `${lane.node.name}: ${is.join(', ')}`));
    if (!lane.rows) lines.push(el('p', {}, `${lane.node.name}: ${STATES.map((name, s) => [countsAt(countsOf(lane.node), time)[s], name]).filter(([count]) => count).map(([count, name]) => `${count} ${name}`).join(', ') || 'no pods'}`));
  }
  if (lane && lane.sort === 'set') { const is = setAt(lane.set, time); if (is) lines.push(el('p', {}, `${lane.set.shown}: ${is.wanted} wanted, ${is.replicas || 0} there, ${is.ready || 0} ready`)); }
  if (lane && lane.sort === 'census') lines.push(el('p', {}, countsAt(census, time).map((count, s) => count ? `${count} ${STATES[s]}` : '').filter(Boolean).join(', ') || 'no pods'));
  faults.forEach(fault => lines.push(el('p', { class: 'fault' }, `fault: ${fault.text}`)));
  box.hidden = !lines.length;
  if (!lines.length) return;
  box.replaceChildren(el('p', { class: 'hint' }, `${secs(time, 4)} s`), ...lines);
  box.style.left = `${Math.min(event.clientX + 14, innerWidth - Math.min(420, box.offsetWidth) - 8)}px`;
  box.style.top = `${event.clientY + 18 + box.offsetHeight > innerHeight ? event.clientY - box.offsetHeight - 10 : event.clientY + 18}px`;
}
let drag = null;
canvas.onpointerdown = event => {
  drag = { x: event.clientX, y: event.clientY, from: view.from, to: view.to, top: scroll.scrollTop, moved: false };
  canvas.setPointerCapture(event.pointerId);
};
canvas.onpointermove = event => {
  if (!drag) return tip(event);
  const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
  if (Math.abs(dx) + Math.abs(dy) < 4 && !drag.moved) return;
  drag.moved = true;
  $('tip').hidden = true;
  const shift = dx / width * (drag.to - drag.from);
  look(drag.from - shift, drag.to - shift);
  scroll.scrollTop = drag.top - dy;
};
canvas.onpointerup = event => {
  const was = drag;
  drag = null;
  if (!was || was.moved) return;
  const { left, top } = canvas.getBoundingClientRect(), { lane, time, bar, row, faults } = hit(event.clientX - left, event.clientY - top);
  setCursor(time, false);
  if (row !== NONE) choose({ row });
  else if (bar) choose({ pod: bar.pod });
  else if (faults.length && lane.sort !== 'pods') choose({ row: faults[0].row });
  else if (lane && lane.sort === 'set') choose({ object: lane.set });
  else if (lane && lane.sort === 'pods' && !lane.rows) choose(lane.node ? { node: lane.node } : null, lane);
  else { panel(); redraw(); }
};
canvas.onpointerleave = () => { $('tip').hidden = true; };
canvas.addEventListener('wheel', event => {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    zoom(Math.exp(event.deltaY * .003), (event.clientX - canvas.getBoundingClientRect().left) / width);
  } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    event.preventDefault();
    const shift = (event.deltaX || event.deltaY) / width * (view.to - view.from);
    look(view.from + shift, view.to + shift);
  }
}, { passive: false });
scroll.onscroll = redraw;
let brush = null;
const whereOver = event => Math.min(1, Math.max(0, (event.clientX - overview.getBoundingClientRect().left) / overview.clientWidth));
overview.onpointerdown = event => {
  const at = whereOver(event), inView = at > view.from && at < view.to && view.to - view.from < .98;
  brush = { at, from: view.from, to: view.to, moves: inView };
  overview.setPointerCapture(event.pointerId);
};
overview.onpointermove = event => {
  if (!brush) return;
  const at = whereOver(event);
  if (brush.moves) look(brush.from + at - brush.at, brush.to + at - brush.at);
  else if (Math.abs(at - brush.at) > .004) look(Math.min(at, brush.at), Math.max(at, brush.at));
};
overview.onpointerup = event => {
  const at = whereOver(event);
  if (brush && Math.abs(at - brush.at) < .004) {
    setCursor(timeAt(at));
    const wide = view.to - view.from;
    if (!brush.moves && wide < .98) look(at - wide / 2, at + wide / 2);
  }
  brush = null;
};

// --- Controls ------------------------------------------------------------------------------------------------------

function setScale(name) {
  if (!scales[name]) return;
  const from = timeAt(view.from), to = timeAt(view.to);
  view.scale = name;
  $('scale').value = name;
  look(place(from), place(to));
  setCursor(view.cursor);
  address();
}
function setDensity(name) {
  if (!['bars', 'strips', 'thin'].includes(name)) return;
  view.density = name;
  view.expanded.clear();
  $('density').value = name;
  layOut();
}
const SUGGESTED = 14;
function find(text) {
  view.find = text.trim().toLowerCase();
  scroll.scrollTop = 0;
  layOut();
  const board = $('found');
  if (!view.find) { board.hidden = true; return; }
  const hits = [];
  for (const node of nodes) if (hits.length < 5 && node.name.toLowerCase().includes(view.find)) hits.push(['node', node.name, { node }, node]);
  for (const set of sets) if (hits.length < 9 && set.key.toLowerCase().includes(view.find)) hits.push(['set', set.shown, { object: set }, set]);
  const some = pods.filter(pod => pod.object.key.toLowerCase().includes(view.find));
  for (const pod of some.slice(0, SUGGESTED - hits.length)) hits.push(['pod', pod.object.shown, { pod }, pod.bars[pod.bars.length - 1]]);
  board.replaceChildren(...hits.map(([sort, name, thing, where]) => el('li', {}, el('button', { type: 'button', onclick: () => take(thing, where) }, el('small', {}, sort), name))),
    el('p', {}, hits.length ? `${some.length} pod${some.length === 1 ? '' : 's'} match; only lanes with a match are shown` : 'Nothing is called that.'));
  board.hidden = false;
}
function take(thing, where) {
  $('found').hidden = true;
  choose(thing);
  if (thing.pod && where) revealBar(where);
  else { const lane = laneOf(where); if (lane) reveal(lane.y + 10); }
}
// An event may be the document's own, which is no element.
const targetOf = event => event.target instanceof Element ? event.target : document.body;
$('find').oninput = event => find(event.target.value);
$('find').onkeydown = event => {
  if (event.key === 'Enter') { const first = $('found').querySelector('button'); if (first) first.click(); }
  if (event.key === 'ArrowDown') { const first = $('found').querySelector('button'); if (first) { first.focus(); event.preventDefault(); } }
  if (event.key === 'Escape') { event.target.value = ''; find(''); event.target.blur(); event.stopPropagation(); }
};
$('found').onkeydown = event => {
  const all = [...$('found').querySelectorAll('button')], at = all.indexOf(document.activeElement);
  if (event.key === 'ArrowDown' && all[at + 1]) { all[at + 1].focus(); event.preventDefault(); }
  if (event.key === 'ArrowUp') { (all[at - 1] || $('find')).focus(); event.preventDefault(); }
  event.stopPropagation();
};
document.addEventListener('pointerdown', event => { if (!targetOf(event).closest('.search')) $('found').hidden = true; });
$('scale').onchange = event => setScale(event.target.value);
$('density').onchange = event => setDensity(event.target.value);
$('in').onclick = () => zoom(.5);
$('out').onclick = () => zoom(2);
$('fit').onclick = () => look(0, 1);
$('before').onclick = () => stepBy(-1);
$('after').onclick = () => stepBy(1);
$('cursor').oninput = event => { setCursor(timeAt(+event.target.value)); follow(); };
function follow() {
  const where = place(view.cursor), wide = view.to - view.from;
  if (where > view.to - wide * .02 || where < view.from) look(where - wide * .1, where + wide * .9);
}
// The whole run, or what is shown of it, in as many seconds.
const PLAY = 30;
function play() {
  view.playing = !view.playing;
  $('play').textContent = view.playing ? '⏸' : '▶';
  $('play').title = view.playing ? 'Pause ( space )' : 'Play ( space )';
  if (!view.playing) return panel();
  if (view.cursor >= TO) setCursor(FROM);
  let last = performance.now();
  const turn = now => {
    if (!view.playing) return;
    const where = place(view.cursor) + (now - last) / 1000 / PLAY * (view.to - view.from);
    last = now;
    setCursor(timeAt(where));
    follow();
    if (where >= 1) play(); else requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
}
$('play').onclick = play;
$('theme').onclick = () => setTheme(isDark() ? 'light' : 'dark');
const isDark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
function setTheme(name) {
  root.dataset.theme = name;
  readColors();
  redraw();
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { readColors(); redraw(); });

function nextOf(rows) {
  const row = rows.find(i => when[i] > view.cursor) ?? rows[0];
  if (row === undefined) return;
  choose({ row });
  focusOn(row);
}
const KEYS = {
  ArrowLeft: () => pan(-.12), ArrowRight: () => pan(.12),
  ArrowUp: () => { scroll.scrollTop -= 60; }, ArrowDown: () => { scroll.scrollTop += 60; },
  PageUp: () => { scroll.scrollTop -= height * .9; }, PageDown: () => { scroll.scrollTop += height * .9; },
  '+': () => zoom(.6), '=': () => zoom(.6), '-': () => zoom(1 / .6), 0: () => look(0, 1), z: zoomToChosen,
  j: () => stepBy(1), k: () => stepBy(-1), ' ': play, '/': () => $('find').focus(),
  f: () => nextOf(data.faults.map(fault => fault.row)), v: () => nextOf(data.violations.map(violation => violation.row)),
  s: () => setScale(view.scale === 'even' ? 'squeezed' : 'even'),
  1: () => setDensity('bars'), 2: () => setDensity('strips'), 3: () => setDensity('thin'),
  Escape: () => choose(null),
};
const pan = part => { const shift = part * (view.to - view.from); look(view.from + shift, view.to + shift); };
document.addEventListener('keydown', event => {
  const target = targetOf(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.closest('input, select, textarea')) return;
  // A focused button keeps the keys that press it.
  if (target.closest('button, a, summary') && (event.key === ' ' || event.key === 'Enter')) return;
  // Outside of the timeline arrows scroll the page, as everywhere.
  if (event.key.startsWith('Arrow') && !target.closest('#timeline') && target !== document.body) return;
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

// --- The address ---------------------------------------------------------------------------------------------------

let written = '';
function address() {
  const one = view.chosen, parts = new URLSearchParams();
  if (one && one.pod) parts.set('pod', one.pod.object.key.replace(/^Pod\//, ''));
  else if (one && one.object) parts.set('object', one.object.key);
  else if (one && one.node) parts.set('node', one.node.name);
  else if (one && one.actor) parts.set('actor', one.actor.name);
  if (view.focus !== NONE) parts.set('seq', seq[view.focus]);
  if (view.scale !== 'squeezed') parts.set('scale', view.scale);
  written = `#${parts.toString().replace(/%2F/g, '/')}`;
  history.replaceState(null, '', written === '#' ? location.pathname + location.search : written);
}
/** Does what the address names: `#pod=default/web-1`, `#seq=12`, `#node=node-1`, `#object=ReplicaSet/default/web`. */
function follows() {
  if (location.hash === written) return;
  const parts = new URLSearchParams(location.hash.slice(1));
  const get = name => parts.get(name);
  if (get('theme')) setTheme(get('theme'));
  if (get('scale')) setScale(get('scale'));
  if (get('lanes')) setDensity(get('lanes'));
  if (get('find')) { $('find').value = get('find'); find(get('find')); $('found').hidden = true; }
  const key = get('pod') ? `Pod/${get('pod')}` : get('object');
  const object = key && objects.findLast(one => one.key === key);
  const node = get('node') && nodeNamed.get(get('node')), actor = get('actor') && actorNamed.get(get('actor'));
  const row = get('seq') ? rowOf(+get('seq')) : NONE;
  if (object) choose(object.pod ? { pod: object.pod } : { object });
  else if (node) choose({ node });
  else if (actor) choose({ actor });
  else if (row !== NONE) choose({ row });
  if ((key && !object) || (get('seq') && row === NONE) || (get('node') && !node))
    $('panel').prepend(el('p', { class: 'cut' }, 'What the address names is not in this trace.'));
  if (object || node || row !== NONE) zoomToChosen();
  if (get('from') || get('to')) look(place(+(get('from') || FROM / 1e9) * 1e9), place(+(get('to') || TO / 1e9) * 1e9));
  if (get('t') || get('from')) setCursor(+(get('t') || get('from')) * 1e9);
  if (row !== NONE) focusOn(row);
  else if (object && object.pod && object.pod.bars.length) {
    if (!get('t')) setCursor(object.pod.bars[object.pod.bars.length - 1].from);
    revealBar(object.pod.bars[object.pod.bars.length - 1]);
  } else if (node && laneOf(node)) {
    if (!get('t') && node.spells.length) setCursor(Math.min(...node.spells.map(one => one.from)));
    reveal(laneOf(node).y);
  }
  if (get('play')) play();
  if (view.chosen) $('timeline').scrollIntoView({ block: 'nearest' });
  root.dataset.story = $('story') ? $('story').childElementCount : 0;
}
addEventListener('hashchange', () => { if (location.hash !== written) follows(); });

const KEY = [
  ...STATES.map((name, s) => [`background:var(--${name})`, `pod ${WORDS[name]}`]),
  ['background:linear-gradient(var(--line) 70%, var(--ink) 70%)', 'its process'],
  ['background:repeating-linear-gradient(135deg, var(--fault) 0 2px, transparent 2px 5px); border:1px solid var(--fault)', 'fault'],
  ['background:repeating-linear-gradient(135deg, var(--soft) 0 1.5px, transparent 1.5px 5px)', 'node without power'],
  ['background:var(--silent); opacity:.6', 'node silent (no heartbeat)'],
  ['background:var(--notready); opacity:.5', 'node NotReady'],
  ['background:repeating-linear-gradient(45deg, var(--accent) 0 1.5px, transparent 1.5px 5px)', 'node cordoned'],
  ['background:linear-gradient(90deg, transparent 5px, var(--tick) 5px 7px, transparent 7px)', 'a step'],
  ['background:var(--violation); width:3px', 'violation'],
];
$('legend').append(...KEY.map(([style, text]) => el('span', { class: 'chip' }, el('i', { style }), text)), el('span', { class: 'chip' }, el('b', { style: 'color:var(--failed)' }, '✗'), 'crash'));

$('density').value = view.density;
readColors();
layOut();
resize();
// Where the story begins: the first thing that someone asks for.
setCursor(when[landmarks.find(i => kind[i] === STEP)] ?? FROM);
follows();
draw();
new ResizeObserver(resize).observe(scroll);
root.dataset.pods = pods.length;
root.dataset.rows = ROWS;
root.dataset.violations = data.violations.length;
root.dataset.opened = Math.round(performance.now());
})();
