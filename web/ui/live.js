// What happens on the server, told to the views that show it: by server-sent events where the server offers them, else by asking.

import { currentSession, sessionEnded, sessionEvents } from './api.js';

const POLL_MS = 2500;
/** Beside the stream: what no news tell, such as another node's work, shows after a while too. */
const SLOW_POLL_MS = 20_000;
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 30_000;
/** A view asks no more often than this, however much happens; the next time only after the last was answered. */
const ASK_MS_MIN = 1500;
/** News that are kept apart while a view waits for its turn; beyond that anything may have changed. */
const KEPT_MAX = 50;

const ears = new Set();
let stream = null;
let isStreaming = false;
let askedAllAt = 0;

/** Calls `listener` when something may have changed: with the news, or null for anything. Returns how to stop. */
export function onNews(listener) {
  const ear = new Ear(listener);
  ears.add(ear);
  return () => {
    ears.delete(ear);
    ear.stop();
  };
}

class Ear {
  #listener;
  /** `undefined` for none. */
  #news;
  #timer = null;
  #isAsking = false;
  #askedAt = -Infinity;

  constructor(listener) {
    this.#listener = listener;
  }

  hear(news) {
    const isFirst = this.#news === undefined;
    this.#news = isFirst || news === null ? news : this.#news && [...this.#news, ...news];
    if (this.#news?.length > KEPT_MAX) this.#news = null;
    this.#plan();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#listener = () => {};
  }

  #plan() {
    if (this.#isAsking || this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#ask(), Math.max(0, this.#askedAt + ASK_MS_MIN - performance.now()));
  }

  async #ask() {
    const news = this.#news;
    this.#timer = null;
    this.#news = undefined;
    this.#isAsking = true;
    this.#askedAt = performance.now();
    try {
      await this.#listener(news);
    } catch { /* A view tells its own problems. */ }
    this.#isAsking = false;
    if (this.#news !== undefined) this.#plan();
  }
}

/** Whether news say anything of images, or of which jobs there are. A job that succeeded has made an image. */
export const concernsImages = (news) => !news || news.some((one) => one.all || one.images || one.jobs?.some(({ state }) => state === 'Succeeded'));

/** Whether news say anything but that these jobs went on. */
export const concernsOthers = (news, jobs) => !news || news.some((one) => one.all || one.images || one.jobs?.some(({ job }) => !jobs.has(job)));

function spread(news) {
  if (news === null) askedAllAt = performance.now();
  for (const ear of ears) ear.hear(news);
}

function streams(does) {
  isStreaming = does;
  document.documentElement.dataset.live = does ? 'stream' : 'poll';
}

/** One event stream for the page, read with fetch so that it carries the session. A hidden page holds no connection. */
async function follow() {
  let wait = RETRY_MS_MIN;
  for (;;) {
    while (!currentSession() || document.hidden) await once();
    stream = new AbortController();
    let atLeast = 0;
    try {
      const { token } = currentSession();
      const headers = { Authorization: `OAuth ${token}`, Accept: 'text/event-stream' };
      const answer = await fetch('/v1/events', { headers, cache: 'no-store', credentials: 'omit', signal: stream.signal });
      if (answer.ok) {
        streams(true);
        wait = RETRY_MS_MIN;
        spread(null);
        await read(answer.body);
      } else {
        atLeast = 1000 * (Number(answer.headers.get('retry-after')) || 0);
        if (answer.status === 401 && currentSession()?.token === token) sessionEnded();
        // This server has no events, or what stands before it lets none through: seldom asked, for that may change.
        if (answer.status === 404) wait = RETRY_MS_MAX;
      }
    } catch { /* Cut, or refused for now: asked again below. */ }
    streams(false);
    const ms = Math.max(atLeast, wait * (0.5 + Math.random() / 2));
    await new Promise((resolve) => setTimeout(resolve, ms));
    wait = Math.min(RETRY_MS_MAX, wait * 2);
  }
}

const once = () => new Promise((resolve) => {
  const done = () => {
    document.removeEventListener('visibilitychange', done);
    sessionEvents.removeEventListener('signedin', done);
    resolve();
  };
  document.addEventListener('visibilitychange', done);
  sessionEvents.addEventListener('signedin', done);
});

async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    // An event is small; what does not end is no event.
    if (rest.length > 65_536) return;
    const news = blocks.filter((block) => !block.startsWith(':')).map(parsed).filter(Boolean);
    if (news.length > 0) spread(news);
  }
}

function parsed(block) {
  try {
    return JSON.parse(block.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n'));
  } catch {
    return null;
  }
}

export function startLive() {
  setInterval(() => {
    if (document.hidden || !currentSession()) return;
    if (performance.now() - askedAllAt > (isStreaming ? SLOW_POLL_MS : POLL_MS - 100)) spread(null);
  }, POLL_MS);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) stream?.abort();
  });
  sessionEvents.addEventListener('signedout', () => stream?.abort());
  streams(false);
  follow().catch(() => {});
}
