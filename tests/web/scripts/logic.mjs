// What an upload decides, without a browser and without a server: workers, sessions and the control plane are stand-ins, the modules of
// the page are the real ones. `node logic.mjs`; the last line says how many checks were made.

import assert from 'node:assert/strict';
import { mkdtempSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const ui = mkdtempSync(join(tmpdir(), 'longshore-ui-'));
cpSync(new URL('../../../web/ui', import.meta.url), ui, { recursive: true });
writeFileSync(join(ui, 'package.json'), '{"type":"module"}');

const kept = new Map();
const events = new EventTarget();
Object.assign(globalThis, {
  localStorage: { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) },
  addEventListener: events.addEventListener.bind(events),
  document: Object.assign(new EventTarget(), { documentElement: { dataset: {} }, visibilityState: 'visible', hidden: false }),
  location: { href: 'http://x/' },
});
Object.defineProperty(globalThis, 'navigator', { value: { onLine: true, languages: ['en'] }, configurable: true });
const workers = [];
globalThis.Worker = class {
  posted = [];
  constructor() { workers.push(this); }
  postMessage({ order }) { this.posted.push(order); }
  terminate() { this.isOver = true; }
  say(data) { this.onmessage({ data }); }
};
const real = globalThis.setTimeout;
const pause = (ms) => new Promise((resolve) => real(resolve, ms));
/** Back-off in no time; how long it would have been is kept. */
const waits = [];
globalThis.setTimeout = (act, ms) => {
  // Beyond every back-off there is only the silence after which a connection is given up.
  if (ms > 100 && ms < 40_000) waits.push(ms);
  return real(act, ms > 100 && ms < 40_000 ? 30 : ms);
};

const from = (name) => import(pathToFileURL(join(ui, name)));
const { Upload } = await from('upload.js');
const { ApiError, sessionEvents } = await from('api.js');
const { queue } = await from('queue.js');
const net = () => new ApiError({ code: 'network', words: 'net' });
const unasked = () => new ApiError({ code: 'ID.1001', words: 'log in', status: 401 });
let checks = 0;
const equal = (actual, expected, words) => { checks += 1; assert.deepEqual(actual, expected, words); };

const place = { job: 'j', image: 'i', path: '/p', offset: 5, stored: 5, state: 'Running' };
/** An upload with the stand-ins of the queue; `calls` are those that it made. */
function upload({ expected = null, identified = true, ...own } = {}) {
  const calls = [];
  const call = (name, answer) => async (...args) => { calls.push(name); return (own[name] ?? answer)(...args); };
  const jobs = { keepHandle() {}, dropHandle() {} };
  const answers = { existingOf: () => null, newJob: () => place, samplesOf: () => [], resumeJob() {}, suspendJob() {}, cancelJob() {}, jobOf: () => null, stateOf: () => null };
  for (const [name, answer] of Object.entries(answers)) jobs[name] = call(name, answer);
  const one = new Upload({ name: 'a', size: 10 }, { expected, handle: null, jobs });
  one.start();
  const worker = workers.at(-1);
  if (identified) worker.say({ kind: 'identified', imageId: 'ls1-x', format: 'raw' });
  return { one, worker, calls };
}
/** Fails once, then answers. */
const once = (error, answer) => { let failed = false; return () => { if (failed) return answer; failed = true; throw error; }; };

/** The sender itself, before a server that keeps what comes; away until `server.isThere`. */
async function engine(size) {
  const ranges = [];
  const server = { isThere: false, slices: 0, sha256: null, told: [], sent: [] };
  const state = () => {
    let at = 0;
    for (const [start, end] of ranges.sort((a, b) => a[0] - b[0])) if (start <= at) at = Math.max(at, end);
    const isDone = at >= size;
    return { state: isDone ? 'Succeeded' : 'Running', stage: 'receiving', length: size, offset: at, storedBytes: at, sha256: server.sha256, missing: isDone ? [] : [{ start: at, end: size }] };
  };
  globalThis.fetch = async () => {
    if (!server.isThere) throw new TypeError('away');
    return new Response(JSON.stringify(state()));
  };
  globalThis.XMLHttpRequest = class {
    upload = {};
    open() {}
    getResponseHeader() { return ''; }
    setRequestHeader(name, value) { if (name === 'Content-Range') this.range = /(\d+)-(\d+)/.exec(value).slice(1).map(Number); }
    abort() { clearTimeout(this.timer); this.onabort?.(); }
    send() {
      server.slices += 1;
      server.sent.push(this.range);
      this.timer = real(() => {
        const refused = server.refuse?.(this.range);
        if (refused) {
          this.status = refused.status;
          this.responseText = JSON.stringify(refused);
          this.onload();
          return;
        }
        ranges.push([this.range[0], this.range[1] + 1]);
        this.status = 200;
        this.responseText = JSON.stringify(state());
        this.onload();
      }, 60);
    }
  };
  globalThis.postMessage = (message) => { if (message.kind !== 'progress') server.told.push(message); };
  const listen = globalThis.addEventListener;
  let hear;
  globalThis.addEventListener = (_, act) => { hear = act; };
  await import(`${pathToFileURL(join(ui, 'engine.js'))}?${Math.random()}`);
  globalThis.addEventListener = listen;
  server.order = (order, more = {}) => hear({ data: { order, ...more } });
  server.order('identify', { file: new File([new Uint8Array(size)], 'x.raw') });
  await pause(300);
  return server;
}
const kinds = (server) => server.told.map(({ kind }) => kind);
const ended = async (server) => {
  for (let tries = 0; tries < 600 && !kinds(server).some((kind) => ['ready', 'failed'].includes(kind)); tries += 1) await pause(50);
  return server.told.at(-1);
};

const cases = {
  async 'the sender stays held when the server comes back after a pause'() {
    const server = await engine(8 << 20);
    server.order('send', { path: 'http://h/p', slices: 4 });
    await pause(100);
    server.order('hold');
    await pause(100);
    equal(kinds(server).at(-1), 'held');
    server.isThere = true;
    await pause(400);
    equal(server.slices, 0);
    server.order('go');
    const { kind, sha256 } = await ended(server);
    equal([kind, sha256], ['ready', '2daeb1f36095b44b318410b3f4e8b5d989dcc7bb023d1426c492dab0a3053e74']);
  },
  async 'a second order to send is not taken'() {
    const server = await engine(48 << 20);
    server.isThere = true;
    server.order('send', { path: 'http://h/p', slices: 4 });
    await pause(30);
    server.order('send', { path: 'http://h/p', slices: 4 });
    equal((await ended(server)).kind, 'ready');
    equal(server.slices < 48, true);
  },
  async 'another digest on the server is a failure'() {
    const server = await engine(2 << 20);
    Object.assign(server, { isThere: true, sha256: 'aa' });
    server.order('send', { path: 'http://h/p', slices: 2 });
    equal((await ended(server)).code, 'digest');
  },
  async 'one slice that is always refused ends the upload, though all others are taken'() {
    for (const [status, code, ends] of [[400, 'bad_range', 'bad_range'], [400, 'checksum_mismatch', 'changed'], [416, 'bad_range', 'bad_range'], [423, 'locked', 'locked']]) {
      const server = await engine(24 << 20);
      Object.assign(server, { isThere: true, refuse: ([start, end]) => start <= 9 << 20 && 9 << 20 <= end && { status, code, detail: 'no' } });
      server.order('send', { path: 'http://h/p', slices: 4 });
      equal([status, (await ended(server)).code], [status, ends]);
      const refusals = server.sent.filter(([start, end]) => start <= 9 << 20 && 9 << 20 <= end).length;
      equal(refusals >= 5 && refusals <= 40, true, `${code} was sent ${refusals} times`);
    }
  },
  async 'a slice that is refused now and then is sent again, and takes nothing from the others'() {
    const server = await engine(24 << 20);
    let count = 0;
    Object.assign(server, { isThere: true, refuse: () => { count += 1; return count % 3 === 0 && { status: 400, code: 'checksum_mismatch', detail: 'no' }; } });
    server.order('send', { path: 'http://h/p', slices: 4 });
    equal((await ended(server)).kind, 'ready');
    equal(count > 6, true);
  },
  async 'slices get as short as the server takes them, below a MiB too'() {
    const server = await engine(2 << 20);
    const max = 200_000;
    Object.assign(server, { isThere: true, refuse: ([start, last]) => last + 1 - start > max && { status: 413, code: 'chunk_too_large', detail: 'no', suggestedChunkBytes: max } });
    server.order('send', { path: 'http://h/p', slices: 2 });
    equal((await ended(server)).kind, 'ready');
  },
  async 'an older state does not have bytes sent again'() {
    const { Plan } = await from('plan.js');
    const plan = new Plan(10 << 20, { length: 10 << 20, offset: 0, storedBytes: 0, missing: [{ start: 0, end: 10 << 20 }] });
    const [first, second] = [plan.take(), plan.take()];
    const before = plan.answered;
    plan.done(first, { state: {}, ms: 1000 });
    equal(plan.answered === before, false);
    plan.atMost(1000);
    equal(plan.sliceBytes, 1000);
    plan.giveBack(second);
    equal(plan.take(), { start: second.start, end: second.start + 1000 });
  },
  async 'a file that cannot be read to its end once more takes nothing from an image that is there'() {
    const server = await engine(2 << 20);
    server.isThere = true;
    const read = File.prototype.slice;
    // Stored before: only the digest of the whole has to read it.
    server.refuse = () => null;
    globalThis.fetch = async () => new Response(JSON.stringify({ state: 'Succeeded', stage: 'publishing', length: 2 << 20, offset: 2 << 20, storedBytes: 2 << 20, missing: [], sha256: 'aa' }));
    File.prototype.slice = () => { throw new DOMException('gone', 'NotFoundError'); };
    server.order('send', { path: 'http://h/p', slices: 2 });
    const last = await ended(server);
    File.prototype.slice = read;
    equal([last.kind, last.isUnread], ['ready', true]);
  },
  async 'what a person paused elsewhere is gone on with only when somebody here says so'() {
    const elsewhere = { ...place, state: 'Suspended', isPausedByPerson: true };
    const { one, worker, calls } = upload({ existingOf: () => elsewhere });
    await pause(10);
    equal([one.phase, one.pausedBy, worker.isOver, calls.includes('resumeJob')], ['paused', 'person', true, false]);
    one.resume();
    one.start();
    workers.at(-1).say({ kind: 'identified', imageId: 'ls1-x', format: 'raw' });
    await pause(10);
    workers.at(-1).say({ kind: 'sampled', digests: [] });
    await pause(10);
    equal([one.phase, calls.includes('resumeJob'), calls.includes('newJob')], ['sending', true, false]);
  },
  async 'a file that was only dropped is not sent into an upload of another account'() {
    const asked = [];
    const answer = (own) => async (path) => {
      asked.push(decodeURIComponent(path));
      const details = [{ longJobUuid: 'j', imageUuid: 'i', imageUploadUrl: 'http://x/imagestore/upload/c', offset: 3, longJobState: 'Suspended' }];
      return Response.json(path.includes('/details/') ? { existingJobDetails: details } : { inventories: own });
    };
    globalThis.fetch = answer([]);
    equal(await queue.existingOf({ imageId: 'ls1-x' }), null);
    equal(asked.at(-1).includes('accountUuid='), true);
    for (const suspendReason of ['idle', 'user']) {
      globalThis.fetch = answer([{ suspendReason }]);
      const found = await queue.existingOf({ imageId: 'ls1-x' });
      equal([found.path, found.isPausedByPerson], ['/imagestore/upload/c', suspendReason === 'user']);
    }
  },
  async 'why an upload is gone is what its job says'() {
    const jobResult = JSON.stringify({ detail: 'refused', cause: 'a backing file' });
    for (const [job, phase, words] of [[{ state: 'Canceled' }, 'canceled', /canceled by another client/], [{ state: 'Failed', jobResult }, 'failed', /^refused a backing file$/], [null, 'failed', /gone from the server/]]) {
      const { one, worker } = upload({ jobOf: () => job });
      await pause(10);
      worker.say({ kind: 'failed', code: 'gone', words: '' });
      await pause(10);
      equal([one.phase, words.test(one.problem.words)], [phase, true], one.problem.words);
    }
  },
  async 'an upload that is ready before it could be canceled is ready'() {
    const refuse = () => { throw new ApiError({ code: 'SYS.1007', words: 'not so', status: 503 }); };
    const { one } = upload({ cancelJob: refuse, stateOf: () => ({ state: 'Succeeded', sha256: 'aa' }) });
    await pause(10);
    await one.cancel();
    equal([one.phase, one.problem], ['ready', null]);
    const other = upload({ cancelJob: refuse, stateOf: () => ({ state: 'Running' }) });
    await pause(10);
    await other.one.cancel();
    equal([other.one.phase, other.one.problem.words.includes('not so')], ['canceled', true]);
  },
  async 'names that turn the direction of what follows stay within themselves'() {
    const { t } = await from('i18n.js');
    const words = t('image.deleted', { name: '\u202Egpj\u2069.exe' });
    equal(words, '\u2068\u202Egpj.exe\u2069 was deleted');
    equal(t('image.deleted', { name: 'plain.raw' }), 'plain.raw was deleted');
  },
  async 'the screen is kept on as long as something is sent, and not asked for again and again'() {
    const locks = { asked: 0, held: 0, isRefused: true };
    let grant;
    navigator.wakeLock = { request: () => {
      locks.asked += 1;
      if (locks.isRefused) return Promise.reject(new Error('no'));
      return new Promise((resolve) => { grant = () => { locks.held += 1; resolve(Object.assign(new EventTarget(), { release: async () => { locks.held -= 1; } })); }; });
    } };
    queue.add([{ name: 'r', size: 10 }]);
    const [one] = queue.uploads;
    for (let times = 0; times < 20; times += 1) one.dispatchEvent(new Event('change'));
    await pause(10);
    for (let times = 0; times < 20; times += 1) one.dispatchEvent(new Event('change'));
    equal(locks.asked, 1);
    Object.assign(locks, { isRefused: false });
    queue.lockRefusedAt = -Infinity;
    one.dispatchEvent(new Event('change'));
    // It ends while the browser is asked.
    one.cancel();
    grant();
    await pause(10);
    equal([locks.asked, locks.held], [2, 0]);
    delete navigator.wakeLock;
    queue.clearEnded();
  },
  async 'a storm of news is asked about no more than it can be answered'() {
    const patient = globalThis.setTimeout;
    globalThis.setTimeout = real;
    kept.set('longshore.session', JSON.stringify({ token: 'n', accountUuid: 'n', endsMs: Date.now() + 1e6, createDate: '', createdMs: 0 }));
    events.dispatchEvent(Object.assign(new Event('storage'), { key: 'longshore.session' }));
    let push;
    let streams = 0;
    globalThis.fetch = async () => {
      streams += 1;
      return new Response(new ReadableStream({ start(control) { push = (text) => control.enqueue(new TextEncoder().encode(text)); } }));
    };
    const { onNews, startLive } = await from('live.js');
    let [asked, atOnce, most] = [0, 0, 0];
    const heard = [];
    const deaf = onNews(async (news) => {
      asked += 1;
      heard.push(news);
      most = Math.max(most, atOnce += 1);
      await pause(1800);
      atOnce -= 1;
    });
    const every = globalThis.setInterval;
    globalThis.setInterval = () => {};
    startLive();
    globalThis.setInterval = every;
    await pause(50);
    equal([streams, document.documentElement.dataset.live, asked, heard[0]], [1, 'stream', 1, null]);
    for (let times = 0; times < 40; times += 1) {
      push(`data: {"jobs":[{"job":"${times % 3}","state":"Running"}],"images":false,"all":false}\n\n`);
      await pause(50);
    }
    await pause(4000);
    // Two seconds of news: at once, then when the last was answered and 1.5 s are over, never two at a time, and nothing is lost.
    equal([asked >= 2 && asked <= 4, most], [true, 1], `asked ${asked} times`);
    equal(heard.slice(1).flat().length, 40);
    deaf();
    push('data: {"all":true}\n\n');
    await pause(20);
    globalThis.setTimeout = patient;
  },
  async 'every module of the first view is asked for at once, not one import after the other'() {
    const found = new Set();
    const walk = (url) => {
      if (found.has(url.pathname)) return;
      found.add(url.pathname);
      for (const [, at] of readFileSync(url, 'utf8').matchAll(/^import .*?'(.+?)';/gm)) walk(new URL(at, url));
    };
    const root = new URL('../../../web/', import.meta.url);
    walk(new URL('ui/app.js', root));
    const preloaded = [...readFileSync(new URL('index.html', root), 'utf8').matchAll(/modulepreload" href="(.+?)"/g)].map(([, at]) => new URL(`.${at}`, root).pathname);
    equal([...preloaded, new URL('ui/app.js', root).pathname].sort(), [...found].sort());
  },
  async 'a refusal of the control plane is told, though ZStack gives it the status of a server that is busy'() {
    const refusal = (code) => () => { throw new ApiError({ code, words: 'no', status: 503 }); };
    for (const [code, phase] of [['ID.1003', 'failed'], ['SYS.1007', 'failed'], ['SYS.1012', 'waiting'], ['http_503', 'waiting']]) {
      const { one } = upload({ newJob: refusal(code) });
      await pause(5);
      equal([code, one.phase], [code, phase]);
      one.cancel();
    }
  },
  async 'a job whose answer was lost is looked for before another is made'() {
    let isMade = false;
    const { one, calls, worker } = upload({ existingOf: () => (isMade ? place : null), newJob: () => { isMade = true; throw net(); } });
    await pause(80);
    worker.say({ kind: 'sampled', digests: [] });
    await pause(20);
    equal([one.phase, calls.filter((name) => name === 'newJob').length], ['sending', 1]);
  },
  async 'a cut or a 401 while samples are asked for does not skip the comparison'() {
    for (const error of [net(), unasked()]) {
      const { one, worker } = upload({ expected: { ...place, imageId: 'foreign', length: 10, name: 'n' }, samplesOf: once(error, [{ start: 0, end: 5, sha256: 'aa' }]) });
      await pause(10);
      equal(one.phase, 'waiting');
      one.sessionBack();
      await pause(60);
      equal(worker.posted, ['identify', 'sample']);
      worker.say({ kind: 'sampled', digests: ['bb'] });
      await pause(10);
      equal([one.phase, worker.posted.includes('send')], ['failed', false]);
    }
  },
  async 'an upload that the server has is compared under our own names too'() {
    const { one, worker } = upload({ existingOf: () => place, samplesOf: () => [{ start: 0, end: 5, sha256: 'aa' }] });
    await pause(10);
    equal(worker.posted, ['identify', 'sample']);
    worker.say({ kind: 'sampled', digests: ['aa'] });
    await pause(10);
    equal([one.phase, worker.posted.at(-1)], ['sending', 'send']);
  },
  async 'without samples of bytes that are stored a foreign upload is not gone on with'() {
    const { one, worker } = upload({ expected: { ...place, imageId: 'foreign', length: 10, name: 'n' } });
    await pause(10);
    equal([one.phase, worker.posted], ['failed', ['identify']]);
  },
  async 'a pause is not undone by words of the worker'() {
    const { one, worker, calls } = upload();
    await pause(10);
    one.pause();
    for (const kind of ['waiting', 'reached']) worker.say({ kind, status: 0, ms: 10 });
    equal(one.phase, 'pausing');
    worker.say({ kind: 'held' });
    await pause(10);
    equal([one.phase, calls.includes('suspendJob')], ['paused', true]);
    one.networkBack();
    equal(worker.posted.at(-1), 'hold');
  },
  async 'a pause while the control plane is away holds, and can be ended'() {
    const { one } = upload({ existingOf: () => { throw net(); } });
    await pause(10);
    equal(one.phase, 'waiting');
    await one.pause();
    equal([one.phase, one.canResume], ['paused', true]);
    await pause(80);
    equal(one.phase, 'paused');
    one.resume();
    equal(one.phase, 'queued');
  },
  async 'resuming without the server starts one sender only'() {
    const { one, worker } = upload({ resumeJob: once(net()) });
    await pause(10);
    await one.pause();
    worker.say({ kind: 'held' });
    await pause(10);
    one.resume();
    one.start();
    await pause(10);
    equal(one.phase, 'waiting');
    await pause(80);
    equal([one.phase, worker.posted], ['sending', ['identify', 'send', 'hold', 'go']]);
  },
  async 'a job that was made for a canceled upload is canceled'() {
    const { one, calls } = upload({ newJob: async () => { await pause(30); return place; } });
    await pause(5);
    await one.cancel();
    await pause(60);
    equal([one.phase, calls.at(-1)], ['canceled', 'cancelJob']);
  },
  async 'cancel while it resumes stays canceled'() {
    const { one, worker, calls } = upload({ resumeJob: () => pause(30) });
    await pause(10);
    await one.pause();
    worker.say({ kind: 'held' });
    await pause(10);
    one.resume();
    one.start();
    await one.cancel();
    await pause(60);
    equal([one.phase, calls.filter((name) => name === 'newJob').length], ['canceled', 1]);
  },
  async 'Try again and Resume start what waits for its turn'() {
    const before = workers.length;
    queue.add([{ name: 'r', size: 10 }, { name: 's', size: 10 }, { name: 't', size: 10 }]);
    const [first, second, third] = queue.uploads;
    equal([third.phase, workers.length - before], ['queued', 2]);
    workers.at(-1).onerror({ preventDefault() {} });
    equal([second.phase, third.phase], ['failed', 'checking']);
    first.cancel();
    second.retry();
    equal([second.phase, workers.length - before], ['checking', 4]);
    queue.cancelAll();
    equal(queue.uploads.map((one) => one.phase), ['canceled', 'canceled', 'canceled']);
    queue.clearEnded();
  },
  async 'pause all and resume all never run more than two'() {
    queue.add([1, 2, 3, 4].map((name) => ({ name: `${name}`, size: 10 })));
    queue.pauseAll();
    for (const worker of workers.filter((one) => !one.isOver)) worker.say({ kind: 'identified', imageId: 'ls1-x', format: 'raw' });
    await pause(20);
    equal(queue.uploads.map((one) => one.phase), ['paused', 'paused', 'paused', 'paused']);
    queue.resumeAll();
    await pause(10);
    equal(queue.active().length, 2);
    queue.cancelAll();
    queue.clearEnded();
  },
  async 'a server that drains fails nothing, and its Retry-After is kept'() {
    globalThis.fetch = async () => new Response('{"status":503,"detail":"busy"}', { status: 503, headers: { 'retry-after': '2' } });
    queue.add(Array.from({ length: 20 }, (_, name) => ({ name: `f${name}`, size: 10 })));
    waits.length = 0;
    for (const worker of workers.filter((one) => !one.isOver)) worker.say({ kind: 'identified', imageId: 'ls1-x', format: 'raw' });
    for (let tries = 0; tries < 100 && waits.length < 4; tries += 1) await pause(30);
    equal(queue.uploads.filter((one) => one.phase === 'failed').length, 0);
    equal([waits.length > 2, waits.every((ms) => ms >= 2000)], [true, true]);
    queue.cancelAll();
    queue.clearEnded();
  },
  async 'another account finds nothing of the last one'() {
    const as = (accountUuid) => {
      kept.set('longshore.session', JSON.stringify({ token: accountUuid, accountUuid, endsMs: Date.now() + 1e6, createDate: '2026-01-01 00:00:00', createdMs: Date.now() }));
      events.dispatchEvent(Object.assign(new Event('storage'), { key: 'longshore.session' }));
    };
    as('one');
    queue.add([{ name: 'r', size: 10 }]);
    sessionEvents.dispatchEvent(new Event('signedin'));
    equal(queue.uploads.length, 1);
    const worker = workers.at(-1);
    as('two');
    equal([queue.uploads.length, worker.isOver], [0, true]);
  },
};

let code = 0;
process.on('unhandledRejection', (error) => { console.error(error); code = 1; });
for (const [name, act] of Object.entries(cases)) {
  try {
    await act();
  } catch (error) {
    console.error(name, error);
    code = 1;
    queue.cancelAll();
    queue.clearEnded();
  }
}
rmSync(ui, { recursive: true });
console.log(JSON.stringify({ case: 'logic', checks, ok: code === 0 }));
process.exit(code);
