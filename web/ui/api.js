// The public API, the same as any client's: ZStack's control plane, and the session that it gives.

import { learnZone } from './format.js';
import { refusal as inWords, t } from './i18n.js';

const KEPT = 'longshore.session';
const POLL_MS_MAX = 1000;
/** Polls of one call that may get lost one after another. */
const LOST_POLLS_MAX = 20;
/** Renewed when less than this is left. */
const RENEW_BELOW_MS = 30 * 60_000;
const RENEW_SECS = 7200;

/** What the server refused, or that it cannot be reached. `words` are for a person. */
export class ApiError extends Error {
  constructor({ code, words, status = 0, requestId = '', retryAfterMs = null }) {
    super(words);
    Object.assign(this, { code, words, status, requestId, retryAfterMs });
  }

  get isNetwork() {
    return this.code === 'network';
  }
}

/** `signedout` when the session has ended, `signedin` when there is a new one. */
export const sessionEvents = new EventTarget();

let session = readSession();

function readSession() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? 'null');
    if (!kept?.token || kept.endsMs < Date.now()) return null;
    learnZone(kept.createDate, kept.createdMs);
    return kept;
  } catch {
    return null;
  }
}

function keepSession(next) {
  session = next;
  try {
    if (next) localStorage.setItem(KEPT, JSON.stringify(next));
    else localStorage.removeItem(KEPT);
  } catch { /* Storage is off: the session lasts as long as the page. */ }
}

export const currentSession = () => session;

// Another tab logged in or out.
addEventListener('storage', (event) => {
  if (event.key !== KEPT) return;
  session = readSession();
  sessionEvents.dispatchEvent(new Event(session ? 'signedin' : 'signedout'));
});

async function fetched(path, init) {
  let answer;
  try {
    answer = await fetch(path, { cache: 'no-store', redirect: 'error', credentials: 'omit', ...init });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    const words = navigator.onLine ? t('err.unreachable') : t('err.offline');
    throw new ApiError({ code: 'network', words });
  }
  const requestId = answer.headers.get('x-request-id') ?? '';
  const text = await answer.text().catch(() => '');
  let body = null;
  try {
    body = text === '' ? null : JSON.parse(text);
  } catch { /* ZStack answers some refusals in plain text. */ }
  return { answer, body, text, requestId };
}

function refusal({ answer, body, text, requestId }) {
  const retryAfter = Number(answer.headers.get('retry-after'));
  const told = body?.error ?? body ?? {};
  const words = told.details || told.detail || told.description || told.title || text.slice(0, 400);
  const code = told.code || `http_${answer.status}`;
  return new ApiError({
    code,
    words: inWords(code, words) || t('err.status', { status: answer.status }),
    status: answer.status,
    requestId: told.requestId || requestId,
    retryAfterMs: retryAfter > 0 ? retryAfter * 1000 : null,
  });
}

/** One request. A session that has ended is told to the page once; the caller gets the error all the same. */
export async function request(method, path, { body, signal, open = false } = {}) {
  const headers = { Accept: 'application/json' };
  if (!open && session) headers.Authorization = `OAuth ${session.token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const sent = { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) };
  const result = await fetched(path, sent);
  if (result.answer.ok) return result;
  const error = refusal(result);
  if (!open && endsSession(error)) sessionEnded();
  throw error;
}

const endsSession = (error) => error.code === 'ID.1001' || error.code === 'unauthenticated' || error.status === 401;

export function sessionEnded() {
  if (!session) return;
  keepSession(null);
  sessionEvents.dispatchEvent(new Event('signedout'));
}

/** A synchronous call. */
export const get = async (path, signal) => (await request('GET', path, { signal })).body;

/** An asynchronous call: 202, then its result is polled. */
export async function act(method, path, body, signal) {
  const begun = await request(method, path, { body, signal });
  if (begun.answer.status !== 202) return begun.body;
  const place = new URL(begun.body.location).pathname;
  let lost = 0;
  for (let wait = 40; ; wait = Math.min(POLL_MS_MAX, wait * 1.6)) {
    await new Promise((resolve) => setTimeout(resolve, wait * (1 + Math.random() / 4)));
    try {
      const polled = await request('GET', place, { signal });
      if (polled.answer.status === 200) return polled.body;
      lost = 0;
    } catch (error) {
      // The call goes on though nobody heard this answer.
      const passes = error.isNetwork || error.status === 408 || error.status === 429;
      lost += 1;
      if (!passes || lost > LOST_POLLS_MAX) throw error;
    }
  }
}

/** Queries a collection; `q` holds conditions such as `state=Running`. */
export async function query(kind, { q = [], limit = 50, start = 0, sort = '-createDate', total = false, signal } = {}) {
  const pairs = q.map((condition) => ['q', condition]);
  pairs.push(['limit', limit], ['start', start], ['sort', sort]);
  if (total) pairs.push(['replyWithCount', 'true']);
  const body = await get(`/zstack/v1/${kind}?${new URLSearchParams(pairs)}`, signal);
  return { rows: body.inventories ?? [], total: Number(body.total ?? 0) };
}

/** The condition that a field contains these words: the wildcards of LIKE in them are themselves. */
export const contains = (field, words) => `${field}~=%${words.replace(/[\\%_]/g, '\\$&')}%`;

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');

async function sha512(text) {
  const plain = new TextEncoder().encode(text);
  if (globalThis.crypto?.subtle) return hex(await crypto.subtle.digest('SHA-512', plain));
  await import('./vendor/hash-wasm-sha512.js');
  return globalThis.hashwasm.sha512(plain);
}

export async function logIn(accountName, plainPassword) {
  const password = await sha512(plainPassword);
  const body = { logInByAccount: { accountName, password } };
  const { body: reply, answer } = await request('PUT', '/zstack/v1/accounts/login', { body, open: true });
  const { uuid, accountUuid, createDate, expiredDate } = reply.inventory;
  const createdMs = Date.parse(answer.headers.get('date') ?? '') || Date.now();
  learnZone(createDate, createdMs);
  const livesMs = Math.max(60_000, span(createDate, expiredDate));
  keepSession({ token: uuid, account: accountName, accountUuid, createDate, createdMs, endsMs: Date.now() + livesMs });
  sessionEvents.dispatchEvent(new Event('signedin'));
}

const span = (from, to) => Date.parse(`${to} UTC`) - Date.parse(`${from} UTC`) || RENEW_SECS * 1000;

export async function logOut() {
  const token = session?.token;
  keepSession(null);
  sessionEvents.dispatchEvent(new Event('signedout'));
  if (token) await request('DELETE', `/zstack/v1/accounts/sessions/${token}`, { open: true }).catch(() => {});
}

/** While the page is open its session does not run out. */
export function keepAlive() {
  const renew = async () => {
    if (!session || session.endsMs - Date.now() > RENEW_BELOW_MS) return;
    const { token } = session;
    const body = { renewSession: { duration: RENEW_SECS } };
    const renewed = await act('PUT', `/zstack/v1/accounts/sessions/${token}/renew`, body);
    const { createDate, expiredDate } = renewed.inventory;
    const endsMs = Math.max(Date.now() + RENEW_SECS * 1000, session.createdMs + span(createDate, expiredDate));
    if (session?.token === token) keepSession({ ...session, endsMs });
  };
  setInterval(() => renew().catch(() => {}), 60_000);
}

/** The upload URL's place on this server: the page talks to its own origin only, whatever name uploads go by elsewhere. */
export function uploadPath(url) {
  const path = new URL(url, location.href).pathname;
  const at = path.indexOf('/imagestore/upload/');
  return at < 0 ? null : path.slice(at);
}
