// What happens on the server, told to the views that show it: by server-sent events where the server offers them, else by asking.

import { currentSession, sessionEvents } from './api.js';

const POLL_MS = 2500;
const RETRY_MS_MAX = 30_000;

const listeners = new Set();
let stream = null;
let isStreaming = false;

/** Calls `listener` when jobs may have changed; returns how to stop. */
export function onNews(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function spread(news) {
  for (const listener of listeners) listener(news);
}

/** One event stream for the page, read with fetch so that it carries the session. A hidden page holds no connection. */
async function follow() {
  let wait = 1000;
  for (;;) {
    while (!currentSession() || document.hidden) await once();
    stream = new AbortController();
    try {
      const headers = { Authorization: `OAuth ${currentSession().token}`, Accept: 'text/event-stream' };
      const answer = await fetch('/v1/events', { headers, cache: 'no-store', credentials: 'omit', signal: stream.signal });
      if (answer.status === 404) return;
      if (!answer.ok) throw new Error(String(answer.status));
      isStreaming = true;
      wait = 1000;
      spread(null);
      await read(answer.body);
    } catch { /* Cut, or refused for now: asked again below. */ }
    isStreaming = false;
    await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
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
    const news = blocks.filter((block) => !block.startsWith(':'));
    if (news.length > 0) spread(news.map(parsed).filter(Boolean));
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
    if (!isStreaming && !document.hidden && currentSession()) spread(null);
  }, POLL_MS);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) stream?.abort();
  });
  sessionEvents.addEventListener('signedout', () => stream?.abort());
  follow().catch(() => {});
}
