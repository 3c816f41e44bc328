// The worker of one upload: reads the file, names it, sends slices side by side with a checksum each, and hashes the whole on the way.
// It needs nothing but the upload URL, so a session that ends does not stop it. The page only hears what it has to show.

import './vendor/hash-wasm-sha256.js';
import './vendor/hash-wasm-crc32.js';
import { formatOf, imageIdOf, readAt, sampleDigest } from './identity.js';
import { Plan } from './plan.js';
import { sendSlice, stateOf } from './wire.js';

const { createCRC32, createSHA256 } = globalThis.hashwasm;
/** CRC-32C, as iSCSI has it; reflected. */
const CASTAGNOLI = 0x82f63b78;
const PIECE_BYTES = 2 << 20;
const TELL_MS = 250;
/** Between two looks at an upload that the server finishes: the first, and after doublings the longest. */
const FINISH_POLL_MS = [50, 700];
/** Slices that are under way get this long to end by themselves before a pause: what they sent would be sent again. */
const DRAIN_MS = 3000;

let file = null;
let path = null;
let plan = null;
let width = 4;
let held = true;
let stopped = false;
const running = new Set();
let sha = null;
let hashed = 0;
let digest = null;
let preparing = Promise.resolve();
/** The slice that is being read for its checksum. */
let reading = null;
let failures = 0;
/** By first byte: how often the slice there was refused. What is refused again and again is no weather, though others get through. */
const strikes = new Map();
const MISMATCHES_MAX = 5;
const REFUSALS_MAX = 8;
/** Another client may be sending the same bytes. */
const BUSY_MAX = 20;
/** Another client suspended the job: whether it runs again is looked at. */
let isHeldByOthers = false;
const OTHERS_POLL_MS = 2000;

const tell = (kind, more = {}) => postMessage({ kind, ...more });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Something that others wait for. */
class Signal {
  #waiting = [];

  wait() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  fire() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** A slice ended, or an order came: there may be something to send. */
const turn = new Signal();
/** Whoever backs off is to look again now. */
const nudge = new Signal();

const orders = {
  async identify({ file: given }) {
    file = given;
    // Made once: a second instance would replace one that has absorbed bytes already.
    sha = await createSHA256();
    const [imageId, format] = await Promise.all([imageIdOf(file), formatOf(file)]);
    tell('identified', { imageId, format });
  },
  async sample({ ranges }) {
    tell('sampled', { digests: await sampleDigest(file, ranges) });
  },
  async send({ path: given, slices }) {
    // One sender to a worker: two of them would share the plan and the digest.
    if (path) return;
    path = given;
    width = slices;
    // Before the state is asked for: a pause that comes meanwhile stays.
    held = false;
    const state = await stateFor({ waitsWhileHeld: true });
    if (!state) return;
    if (state.length && state.length !== file.size) {
      tell('failed', { code: 'other_size', length: state.length });
      return;
    }
    plan = new Plan(file.size, state);
    const beat = setInterval(progress, TELL_MS);
    const hashing = hashAll();
    hashing.catch(() => {});
    await sendAll();
    progress();
    if (!stopped) await finish(hashing);
    clearInterval(beat);
  },
  async width({ slices }) {
    width = slices;
    turn.fire();
  },
  async hold() {
    held = true;
    isHeldByOthers = false;
    nudge.fire();
    const drained = Promise.allSettled([...running].map((slice) => slice.ended));
    await Promise.race([drained, pause(DRAIN_MS)]);
    for (const slice of running) slice.abort?.();
    await drained;
    progress();
    tell('held');
  },
  async go() {
    failures = 0;
    held = false;
    isHeldByOthers = false;
    nudge.fire();
    turn.fire();
  },
};

addEventListener('message', ({ data }) => {
  orders[data.order](data).catch((error) => fail(broken(error)));
});

/** A file that changed or went away while it was read says so by its name only. */
function broken(error) {
  const unreadable = ['NotReadableError', 'NotFoundError', 'NotAllowedError'].includes(error?.name);
  return { code: unreadable ? 'unreadable' : 'defect', words: String(error?.message ?? error) };
}

function fail(what) {
  if (stopped) return;
  stopped = true;
  held = true;
  for (const slice of running) slice.abort?.();
  nudge.fire();
  turn.fire();
  tell('failed', what);
}

function progress() {
  if (!plan) return;
  let inFlight = 0;
  for (const slice of running) inFlight += slice.loaded ?? 0;
  tell('progress', {
    stored: plan.storedBytes,
    sent: plan.storedBytes + inFlight,
    hashed,
    slices: running.size,
    sliceBytes: plan.sliceBytes,
    missing: plan.missingNow(),
  });
}

/** The state, asked until the server answers; null once the upload is gone. */
async function stateFor({ waitsWhileHeld = false } = {}) {
  for (let tries = 0; !stopped; tries += 1) {
    while (waitsWhileHeld && held && !stopped) await turn.wait();
    if (stopped) return null;
    const asked = await stateOf(path);
    if (asked.state) {
      if (tries > 0) tell('reached');
      return asked.state;
    }
    if (asked.status === 404 || asked.status === 410) {
      fail({ code: 'gone', words: asked.words, requestId: asked.requestId });
      return null;
    }
    await wait(asked, tries);
  }
  return null;
}

/** Back-off with jitter; the page is told why and for how long. */
async function wait(outcome, tries) {
  const backOff = Math.min(20_000, 500 * 2 ** Math.min(tries, 6));
  const ms = Math.max(outcome.retryAfterMs ?? 0, backOff * (0.5 + Math.random() / 2));
  tell('waiting', { status: outcome.status, code: outcome.code, words: outcome.words, requestId: outcome.requestId, ms });
  await Promise.race([pause(ms), nudge.wait()]);
}

async function sendAll() {
  while (!stopped && !plan.isComplete()) {
    const range = !held && running.size < width ? plan.take() : null;
    if (range) {
      const slice = { ...range };
      running.add(slice);
      slice.ended = send(slice).finally(() => {
        running.delete(slice);
        turn.fire();
      });
      slice.ended.catch((error) => fail(broken(error)));
      // One slice is read and checked at a time; its sending goes on beside the next one's reading.
      await slice.ready;
      continue;
    }
    await (running.size === 0 && !held ? pause(200) : turn.wait());
  }
}

async function send(slice) {
  let isReady;
  slice.ready = new Promise((resolve) => {
    isReady = resolve;
  });
  try {
    const checksum = await prepared(slice);
    isReady();
    if (held || stopped) return plan.giveBack(slice);
    const outcome = await sendSlice(path, file, slice, checksum);
    return await settle(slice, outcome);
  } catch (error) {
    plan.giveBack(slice);
    throw error;
  } finally {
    isReady();
  }
}

async function settle(slice, outcome) {
  if (outcome.state) {
    failures = 0;
    for (const start of strikes.keys()) if (slice.start <= start && start < slice.end) strikes.delete(start);
    plan.done(slice, outcome);
    tell('reached');
    return;
  }
  // Until it is to be tried again nobody else tries it: four at once would be refused four times.
  const state = outcome.aborted || stopped ? null : await refused(slice, outcome);
  plan.giveBack(slice);
  if (state) plan.learn(state);
}

/** What follows from a slice that was not taken: an end, a pause, or a wait. Answers what is stored then, if it was asked. */
async function refused(slice, outcome) {
  switch (outcome.code) {
    case 'gone':
    case 'not_found':
      fail(await whyGone(outcome));
      return null;
    case 'unsafe_image':
    case 'failed':
    case 'quota':
    case 'too_large':
      fail(outcome);
      return null;
    case 'suspended':
      if (held) return null;
      held = true;
      tell('suspended');
      awaitOthers().catch((error) => fail(broken(error)));
      return null;
    case 'checksum_mismatch':
      await again(slice, { ...outcome, code: 'changed' }, MISMATCHES_MAX);
      return null;
    case 'chunk_too_large':
      plan.atMost(outcome.suggestedBytes);
      await again(slice, outcome, REFUSALS_MAX);
      return null;
    default:
  }
  plan.smaller();
  const isRefusal = outcome.status >= 400 && outcome.status < 500 && ![408, 425, 429].includes(outcome.status);
  const max = { 400: REFUSALS_MAX, 416: REFUSALS_MAX, 409: BUSY_MAX, 423: BUSY_MAX }[outcome.status] ?? 1;
  // Somebody waits for the pause; what is stored is asked for when it goes on.
  if (isRefusal) await again(slice, outcome, max);
  else if (!held) await wait(outcome, failures++);
  return storedNow();
}

/** The same place once more after a while, unless it was refused so often that it never will be taken. */
async function again(slice, outcome, max) {
  const times = (strikes.get(slice.start) ?? 0) + 1;
  strikes.set(slice.start, times);
  if (times >= max) fail(outcome);
  else if (!held) await wait(outcome, times - 1);
}

/** What is stored is asked for, not assumed: a slice whose answer was lost is there all the same. */
async function storedNow() {
  if (held || stopped) return null;
  const { answered } = plan;
  // A pause does not wait for a server that does not answer.
  const asked = await Promise.race([stateOf(path), nudge.wait()]);
  // A state that is older than an answer would have bytes sent again that are there.
  return plan.answered === answered ? asked?.state : null;
}

/** Other slices that were under way may have heard the true reason, and the state tells it. */
async function whyGone(outcome) {
  const { state } = await stateOf(path);
  if (state?.state === 'Canceled') return { ...outcome, code: 'canceled' };
  if (state?.state === 'Failed' && state.detail) return { ...outcome, code: 'failed', words: state.detail };
  return outcome;
}

/** Whoever suspended the job may let it run again: then it goes on here by itself. */
async function awaitOthers() {
  isHeldByOthers = true;
  while (isHeldByOthers && !stopped) {
    await pause(OTHERS_POLL_MS);
    const { state, ...refused } = await stateOf(path);
    if (!isHeldByOthers || stopped) return;
    if (refused.status === 404 || refused.status === 410) fail({ ...refused, code: 'gone' });
    if (isFinal(state?.state) && state.state !== 'Succeeded') fail({ code: state.state === 'Canceled' ? 'canceled' : 'failed', words: state.detail ?? '' });
    if (state?.state !== 'Running') continue;
    isHeldByOthers = false;
    held = false;
    tell('resumed');
    turn.fire();
  }
}

/** The pieces of a slice in order; the next one is being read while this one is used. */
async function* piecesOf({ start, end }) {
  const read = (at) => {
    const bytes = readAt(file, at, Math.min(end, at + PIECE_BYTES));
    // If it fails while the piece before it is used, it is told when its turn comes.
    bytes.catch(() => {});
    return bytes;
  };
  let coming = read(start);
  for (let at = start; at < end; ) {
    const bytes = await coming;
    if (bytes.length === 0) throw new DOMException('the file has become shorter', 'NotReadableError');
    const next = at + bytes.length;
    if (next < end) coming = read(next);
    yield { at, bytes };
    at = next;
  }
}

/** The CRC-32C of a slice. Bytes at the end of what is hashed go into the digest of the whole in the same reading. */
async function prepared(slice) {
  if (slice.checksum !== undefined) return slice.checksum;
  const mine = preparing.then(async () => {
    const crc = await createCRC32(CASTAGNOLI);
    crc.init();
    reading = slice;
    for await (const { at, bytes } of piecesOf(slice)) {
      crc.update(bytes);
      absorb(at, bytes);
    }
    reading = null;
    return crc.digest('hex');
  });
  preparing = mine.catch(() => {});
  slice.checksum = await mine;
  return slice.checksum;
}

function absorb(at, bytes) {
  if (at !== hashed || digest) return;
  if (at === 0) sha.init();
  sha.update(bytes);
  hashed += bytes.length;
}

/** Hashes what the slices do not: what was sent before this page, and what came out of order. */
async function hashAll() {
  while (!stopped && hashed < file.size) {
    // The next slices bring these bytes by themselves.
    if (plan.willSend(hashed) || (reading && reading.start <= hashed && hashed < reading.end)) {
      await pause(40);
      continue;
    }
    const at = hashed;
    const bytes = await readAt(file, at, Math.min(file.size, plan.nextToSend(at), at + PIECE_BYTES));
    if (bytes.length === 0) throw new DOMException('the file has become shorter', 'NotReadableError');
    absorb(at, bytes);
    // Sending goes first.
    await pause(held ? 5 : 0);
  }
  if (!stopped) {
    digest = sha.digest('hex');
    tell('hashed', { sha256: digest });
  }
}

/** Every byte is stored: the server finishes, and says how far it is. */
async function finish(hashing) {
  let [ms, longest] = FINISH_POLL_MS;
  for (;;) {
    const state = await stateFor();
    if (!state || stopped) return;
    if (state.missing.length > 0 && !isFinal(state.state)) {
      plan.learn(state);
      await sendAll();
      continue;
    }
    tell('finishing', { state });
    if (state.state === 'Succeeded') {
      if (!digest) tell('comparing');
      // The image is there: a file that cannot be read any more takes nothing from it, there is only nothing to compare.
      const isUnread = await hashing.then(() => false, () => true);
      const same = !state.sha256 || !digest || state.sha256 === digest;
      tell(same ? 'ready' : 'failed', same ? { state, sha256: digest, isUnread } : { code: 'digest', words: state.sha256, sha256: digest });
      stopped = true;
      return;
    }
    if (isFinal(state.state)) {
      fail({ code: state.state === 'Canceled' ? 'canceled' : 'failed', words: state.detail ?? '' });
      return;
    }
    if (state.state === 'Suspended' && !held) {
      held = true;
      tell('suspended', { words: state.waitsFor });
      awaitOthers().catch((error) => fail(broken(error)));
    }
    await pause(ms);
    ms = Math.min(longest, ms * 2);
  }
}

const isFinal = (name) => name === 'Succeeded' || name === 'Failed' || name === 'Canceled';
