// The page of one run, or of two side by side. All words and places come from the data; here is
// only what is shown and what is not. Text of strangers goes through textContent alone.
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const [SEQ, AT, LANE, MARK, TEXT, TAIL, GLYPHS, SOCKETS, FRAME] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
let active = 0;
let current = 0;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// ---- a graph: its pieces by number, and the frame that it shows

class Graph {
  constructor(picture, frames) {
    this.picture = picture;
    this.frames = frames;
    this.boxes = [...picture.querySelectorAll('g.pbox')];
    this.rows = [...picture.querySelectorAll('g.row')];
    this.edges = [...picture.querySelectorAll('path.e')];
    this.svg = picture.querySelector('svg');
    this.lines = this.boxes.map(box => [...box.querySelectorAll(':scope > text.b')]);
    this.reset();
  }

  reset() {
    this.at = -1;
    for (const piece of [...this.boxes, ...this.rows, ...this.edges]) piece.classList.add('off');
  }

  show(frame) {
    if (frame < this.at) this.reset();
    while (this.at < frame) this.apply(this.frames[++this.at]);
  }

  apply(frame) {
    for (const [number, lines] of frame.b) {
      this.boxes[number].classList.toggle('off', !lines);
      this.lines[number].forEach((line, at) => {
        const [words, red] = lines && lines[at] || ['', false];
        line.textContent = words;
        line.classList.toggle('r', red);
      });
    }
    for (const [number, state] of frame.r) {
      const row = this.rows[number];
      row.classList.toggle('off', !state);
      const [words, fill, red] = state || ['', null, false];
      const badge = row.querySelector('text.b');
      if (badge) badge.textContent = words;
      const full = row.querySelector('rect.full');
      if (full) {
        full.setAttribute('width', fill || 0);
        full.classList.toggle('over', fill > 28);
      }
      row.querySelector('rect.bg').classList.toggle('red', red);
    }
    for (const [number, red] of frame.e) {
      this.edges[number].classList.toggle('off', red === null);
      this.edges[number].classList.toggle('red', red === true);
    }
  }

  // A wide graph is made smaller to be seen whole, as far as it can still be read.
  fit(room) {
    const natural = this.svg.viewBox.baseVal.width;
    this.svg.style.width = Math.min(natural, Math.max(room, 0.6 * natural)) + 'px';
    this.svg.style.height = 'auto';
  }

  mark(sockets, processes) {
    const hot = row => sockets.includes(Number(row.dataset.socket));
    this.rows.forEach(row => row.classList.toggle('hot', row.dataset.socket !== undefined && hot(row)));
    const named = box => (processes || []).includes(Number(box.dataset.pid));
    this.boxes.forEach(box => box.classList.toggle('hot', named(box)));
  }
}

// ---- a ladder: a list of steps

class Ladder {
  constructor(number, run) {
    this.number = number;
    this.run = run;
    this.hidden = new Set();
    this.section = element('section', 'run');
    this.section.setAttribute('aria-label', 'steps' + (run.name ? ' of ' + run.name : ''));
    if (run.name) {
      this.section.append(element('h2', '', run.outcome ? run.name + ': ' + run.outcome : run.name));
    }
    const lanes = element('div', 'lanes');
    run.lanes.forEach((title, lane) => {
      const label = element('label');
      const box = element('input');
      box.type = 'checkbox';
      box.checked = true;
      box.addEventListener('change', () => {
        if (box.checked) this.hidden.delete(lane); else this.hidden.add(lane);
        refresh();
      });
      label.append(box, ' ' + letter(lane) + ' ' + title);
      lanes.append(label);
    });
    this.list = element('ol', 'steps');
    this.list.tabIndex = 0;
    this.list.setAttribute('role', 'listbox');
    this.list.setAttribute('aria-label', 'steps');
    this.items = run.steps.map((step, at) => this.item(step, at));
    this.list.append(...this.items);
    this.words = run.steps.map(step =>
      (run.lanes[step[LANE]] + ' ' + step[TEXT] + step[TAIL]).toLowerCase());
    this.section.append(lanes, this.list);
    this.list.addEventListener('click', event => this.chosen(event, at => go(at, this.number)));
    this.list.addEventListener('mouseover', event => this.chosen(event, at => {
      graphs[this.number].mark(run.steps[at][SOCKETS]);
    }));
    this.list.addEventListener('mouseleave', () => graphs[this.number].mark([]));
  }

  item(step, at) {
    const item = element('li', step[MARK]);
    item.id = 's' + this.number + '-' + at;
    item.dataset.at = at;
    item.setAttribute('role', 'option');
    const glyphs = element('span', 'glyphs', [...step[GLYPHS]].join(' '));
    glyphs.setAttribute('aria-hidden', 'true');
    const what = element('span', 'what', step[TEXT] + step[TAIL]);
    const who = element('span', 'who', this.run.lanes[step[LANE]]);
    item.title = who.textContent + ': ' + what.textContent;
    const seq = step[SEQ] === null ? '' : String(step[SEQ]);
    item.append(element('span', 'seq', seq), element('span', 'at', step[AT]), glyphs, who, what);
    if (data.difference === at && data.runs.length === 2) item.classList.add('differs');
    return item;
  }

  chosen(event, then) {
    const item = event.target.closest('li');
    if (item) then(Number(item.dataset.at));
  }

  isShown(at) {
    return at >= 0 && at < this.items.length && !this.items[at].hidden;
  }

  select(at) {
    const old = this.list.querySelector('[aria-selected=true]');
    if (old) old.setAttribute('aria-selected', 'false');
    const item = this.items[Math.min(at, this.items.length - 1)];
    if (!item) return;
    item.setAttribute('aria-selected', 'true');
    this.list.setAttribute('aria-activedescendant', item.id);
    const list = this.list;
    if (item.offsetTop < list.scrollTop + 40 || item.offsetTop > list.scrollTop + list.clientHeight - 60) {
      list.scrollTop = item.offsetTop - list.clientHeight / 2;
    }
  }

  touch(socket) {
    this.items.forEach((item, at) =>
      item.classList.toggle('hot', socket !== null && this.run.steps[at][SOCKETS].includes(socket)));
  }

  // Which steps match: for `X before Y` those X that a Y follows, and the Y that follows.
  find(query) {
    const [first, second] = query.toLowerCase().split(/ before /).map(part => part.trim());
    const test = part => {
      const socket = /^@(\d+)$/.exec(part);
      return at => socket
        ? this.run.steps[at][SOCKETS].includes(Number(socket[1]))
        : this.words[at].includes(part);
    };
    const found = { hits: [], seconds: new Map() };
    if (!first) return found;
    const [isFirst, isSecond] = [test(first), second ? test(second) : null];
    let next = -1;
    for (let at = this.items.length - 1; at >= 0; at--) {
      if (isFirst(at) && (!isSecond || next >= 0)) {
        found.hits.unshift(at);
        if (isSecond) found.seconds.set(at, next);
      }
      if (isSecond && isSecond(at)) next = at;
    }
    return found;
  }

  refresh(query, only, flows) {
    this.found = this.find(query);
    const hits = new Set(this.found.hits);
    const seconds = new Set(this.found.seconds.values());
    this.items.forEach((item, at) => {
      const step = this.run.steps[at];
      const matches = hits.has(at) || seconds.has(at);
      item.classList.toggle('hit', hits.has(at));
      item.classList.toggle('hit2', seconds.has(at));
      item.hidden = step[MARK] === 'flow' && !flows && !matches
        || only && query.trim() !== '' && !matches
        || this.hidden.has(step[LANE]);
    });
  }
}

function letter(lane) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  return letters[lane] || String(lane);
}

// ---- the page

const pictures = [...document.querySelectorAll('.picture')];
const graphs = data.runs.map((run, number) => new Graph(pictures[number], run.frames));
const ladders = data.runs.map((run, number) => new Ladder(number, run));

function go(at, run = active) {
  active = run;
  const ladder = ladders[active];
  current = Math.max(0, Math.min(at, ladder.items.length - 1));
  ladders.forEach(other => {
    other.section.classList.toggle('active', other === ladder);
    other.select(current);
  });
  pictures.forEach((picture, number) => { picture.hidden = number !== active; });
  const steps = ladder.run.steps;
  const frame = steps.length ? steps[current][FRAME] : 0;
  if (ladder.run.frames.length) graphs[active].show(frame);
  $('slider').max = Math.max(0, steps.length - 1);
  $('slider').value = current;
  $('place').textContent = steps.length ? 'step ' + (current + 1) + ' of ' + steps.length : '';
  showWarnings(frame);
  if (!steps.length) return;
  const step = steps[current];
  const words = ladder.run.lanes[step[LANE]] + ': ' + step[TEXT] + step[TAIL];
  $('slider').setAttribute('aria-valuetext', words);
  $('live').textContent = 'Step ' + (current + 1) + ', ' + words;
  graphs[active].mark(step[SOCKETS]);
}

function stride(way) {
  const ladder = ladders[active];
  for (let at = current + way; at >= 0 && at < ladder.items.length; at += way) {
    if (ladder.isShown(at)) return go(at);
  }
}

function match(way) {
  const hits = ladders[active].found.hits;
  if (!hits.length) return;
  const next = way > 0 ? hits.find(at => at > current) : hits.findLast(at => at < current);
  go(next !== undefined ? next : way > 0 ? hits[0] : hits[hits.length - 1]);
}

function refresh() {
  const query = $('find').value;
  ladders.forEach(ladder => ladder.refresh(query, $('only').checked, $('flows').checked));
  const { hits } = ladders[active].found;
  $('count').textContent = query.trim() === '' ? '' : hits.length + (hits.length === 1 ? ' match' : ' matches');
}

function showWarnings(frame) {
  const { warnings } = data.runs[active];
  $('warnings').hidden = !warnings.length;
  $('warnings').replaceChildren(...warnings.map(warning => {
    const holds = warning.from <= frame && frame <= warning.to;
    const button = element('button', holds ? 'now' : '');
    button.type = 'button';
    button.append(element('b', '', '⚠ ' + warning.title), warning.text);
    const at = data.runs[active].steps.findIndex(step => step[FRAME] >= warning.from);
    if (at > 0 || warning.from > 0) button.append(' (from step ' + (at + 1) + ' on)');
    button.addEventListener('click', () => openWarning(warning, at));
    return button;
  }));
}

function openWarning(warning, at) {
  if (at >= 0) go(at);
  graphs[active].mark(warning.sockets, warning.processes);
  $('live').textContent = warning.title + ': ' + warning.text;
}

let lastWarning = -1;
function nextWarning() {
  const buttons = [...$('warnings').querySelectorAll('button')];
  if (!buttons.length) return;
  lastWarning = (lastWarning + 1) % buttons.length;
  buttons[lastWarning].click();
}

function theme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
}

function difference() {
  if (data.difference !== null) go(data.difference);
}

const keys = {
  ArrowRight: () => stride(1), j: () => stride(1),
  ArrowLeft: () => stride(-1), k: () => stride(-1),
  ArrowDown: () => stride(1), ArrowUp: () => stride(-1),
  Home: () => go(0), End: () => go(Infinity),
  '/': () => $('find').focus(), n: () => match(1), N: () => match(-1),
  w: nextWarning, d: difference, t: theme,
  b: () => $('flows').click(),
  o: () => go(current, (active + 1) % data.runs.length),
  '?': () => $('keys').showModal(),
};

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.altKey || event.metaKey || $('keys').open) return;
  if (event.target === $('find')) {
    if (event.key === 'Enter') match(event.shiftKey ? -1 : 1);
    if (event.key === 'Escape') {
      // The browser would empty it.
      event.preventDefault();
      $('find').blur();
    }
    return;
  }
  // A slider and a button have keys of their own.
  if (event.target.type === 'range' && event.key.startsWith('Arrow')) return;
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

const buttons = {
  first: () => go(0), back: () => stride(-1), step: () => stride(1), last: () => go(Infinity),
  previous: () => match(-1), next: () => match(1), differ: difference, theme,
  help: () => $('keys').showModal(),
};
for (const [id, act] of Object.entries(buttons)) $(id).addEventListener('click', act);
$('slider').addEventListener('input', () => go(Number($('slider').value)));
$('find').addEventListener('input', refresh);
$('only').addEventListener('change', refresh);
$('flows').addEventListener('change', refresh);
$('graph').addEventListener('mouseover', event => {
  const row = event.target.closest('g.row');
  const socket = row && row.dataset.socket !== undefined ? Number(row.dataset.socket) : null;
  ladders[active].touch(socket);
});
$('graph').addEventListener('mouseleave', () => ladders[active].touch(null));
$('graph').addEventListener('click', event => {
  const row = event.target.closest('g.row');
  if (!row || row.dataset.socket === undefined) return;
  $('find').value = '@' + row.dataset.socket;
  refresh();
});

const dark = matchMedia('(prefers-color-scheme: dark)').matches;
document.documentElement.dataset.theme = dark ? 'dark' : 'light';
$('outcome').textContent = data.runs.length === 1 ? data.runs[0].outcome : '';
for (const note of new Set(data.runs.flatMap(run => run.notes))) $('notes').append(element('p', '', note));
const hasSteps = data.runs.some(run => run.steps.length);
if (hasSteps) ladders.forEach(ladder => $('runs').append(ladder.section));
else { $('bar').hidden = true; document.querySelector('main').classList.add('bare'); }
if (!data.runs.some(run => run.frames.length)) {
  $('graph').replaceChildren(element('p', '', 'This trace has no snapshot, so there is no graph.'));
}
if (data.runs.length === 2) {
  document.querySelector('main').classList.add('two');
  $('differ').hidden = data.difference === null;
}
function fit() {
  graphs.forEach(graph => graph.fit($('graph').clientWidth - 16));
}
addEventListener('resize', fit);
fit();
refresh();
go(hasSteps && data.difference !== null ? data.difference : Infinity);
