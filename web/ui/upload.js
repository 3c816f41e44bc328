// One upload as the page sees it: its worker, its job on the server, its phase, and what to tell about it.

import { ApiError, currentSession } from './api.js';
import { bytes } from './format.js';
import { refusal, t } from './i18n.js';
import { Meter } from './meter.js';

/** Phases in which something moves by itself. */
const ACTIVE = new Set(['checking', 'starting', 'sending', 'waiting', 'verifying', 'inspecting', 'publishing', 'comparing', 'pausing']);
const ENDED = new Set(['ready', 'failed', 'canceled']);
const STAGES = { receiving: 'sending', verifying: 'verifying', inspecting: 'inspecting', publishing: 'publishing' };
/** Back-off of what the control plane did not answer: doubled from the first to the last, with jitter. */
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 30_000;
let count = 0;

export class Upload extends EventTarget {
  constructor(file, { expected, handle, jobs }) {
    super();
    count += 1;
    Object.assign(this, { id: count, file, expected, handle, jobs });
    /** Whether somebody pressed Resume: only then it goes on with what a person paused elsewhere. */
    this.mayResume = false;
    this.meter = new Meter();
    this.reset();
  }

  reset() {
    this.phase = 'queued';
    this.imageId = null;
    this.format = null;
    this.job = null;
    this.image = null;
    this.path = null;
    this.stored = 0;
    this.sent = 0;
    this.hashed = 0;
    this.missing = [{ start: 0, end: this.file.size }];
    this.stagePercent = 0;
    this.sha256 = null;
    this.serverDigests = null;
    this.problem = null;
    this.waitsFor = null;
    this.resumedAt = 0;
    this.pausedBy = null;
    this.isUnread = false;
    /** What people want, apart from the phase that is shown: a word from the worker must not undo a pause. */
    this.wanted = 'run';
    this.wasOpened = false;
    this.wasCut = false;
    /** Where the upload is that this file goes on with; null until it is found or made. */
    this.place = null;
    this.isCompared = false;
    this.next = null;
    this.tries = 0;
    this.#calm();
  }

  get isActive() { return ACTIVE.has(this.phase); }
  get hasEnded() { return ENDED.has(this.phase); }
  get isStopped() { return this.phase === 'paused'; }
  get isUnfinished() { return !this.hasEnded; }
  get canPause() { return ['sending', 'waiting', 'checking', 'starting', 'queued'].includes(this.phase); }
  get canResume() { return this.phase === 'paused'; }
  get canRetry() { return this.phase === 'failed' && this.problem?.final !== true; }
  get rate() { return this.phase === 'sending' ? this.meter.rate() : 0; }

  get secondsLeft() {
    const rate = this.rate;
    return rate > 0 ? (this.file.size - this.sent) / rate : Infinity;
  }

  #to(phase, more = {}) {
    Object.assign(this, { phase, ...more });
    this.dispatchEvent(new Event('change'));
  }

  start() {
    if (this.file.size === 0) {
      this.#fail({ words: t('err.empty'), final: true });
      return;
    }
    this.account ??= currentSession()?.accountUuid ?? null;
    if (this.worker && this.wasOpened) {
      this.#to('starting', { waitsFor: null });
      this.#step('go');
      return;
    }
    this.#to('checking', { problem: null, waitsFor: null });
    this.worker?.terminate();
    this.worker = new Worker('/ui/engine.js', { type: 'module', name: `upload ${this.id}` });
    const { worker } = this;
    worker.onmessage = ({ data }) => {
      if (this.worker === worker) this.#heard(data).catch((error) => this.#refused(error));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.worker === worker) this.#fail({ words: t('err.worker') });
    };
    worker.postMessage({ order: 'identify', file: this.file });
  }

  async #heard(data) {
    if (this.hasEnded) return;
    switch (data.kind) {
      case 'identified': return this.#identified(data);
      case 'sampled': return this.#sampled(data.digests);
      case 'progress': return this.#progressed(data);
      case 'reached':
        if (this.phase === 'waiting') this.#to('sending', { waitsFor: null });
        return;
      case 'resumed':
        if (this.phase === 'paused' && this.pausedBy === 'other') this.#to('sending', { waitsFor: null, pausedBy: null });
        return;
      case 'waiting': return this.#waits(data);
      case 'suspended':
        if (this.wanted === 'run') this.#to('paused', { pausedBy: 'other', waitsFor: data.words ?? null });
        return;
      case 'held': return this.#held();
      case 'hashed':
        this.sha256 = data.sha256;
        return this.#to(this.phase);
      case 'comparing':
        this.wanted = 'run';
        return this.#to('comparing');
      case 'finishing': return this.#finishing(data.state);
      case 'ready': return this.#ready(data);
      case 'failed': return this.#failed(data);
      default:
    }
  }

  async #identified({ imageId, format }) {
    this.imageId = imageId;
    this.format = format;
    const wrong = this.expected && mismatch(this.expected, this);
    if (wrong) {
      this.#fail({ words: wrong, final: true, wrongFile: true });
      return;
    }
    if (this.phase !== 'pausing') this.#to('starting');
    await this.#step('find');
  }

  /** One step on the control plane. What fails and passes is done again later: this step, not one after it. */
  async #step(name) {
    this.next = name;
    const { worker } = this;
    try {
      if (this.wanted === 'pause') {
        await this.#rest();
        return;
      }
      await { find: () => this.#find(), compare: () => this.#compare(), open: () => this.#open(), go: () => this.#go() }[name]();
    } catch (error) {
      if (this.worker === worker && !this.hasEnded) await this.#refused(error);
    }
  }

  /** The upload that was named, or the one that the server has of this file. */
  async #find() {
    const { worker } = this;
    const place = this.expected ?? await this.jobs.existingOf(this);
    if (this.worker !== worker || this.hasEnded) return;
    this.place = place;
    this.tries = 0;
    if (place?.isPausedByPerson && !this.mayResume) {
      this.end();
      this.place = null;
      this.stored = place.offset;
      this.#to('paused', { pausedBy: 'person', waitsFor: null });
      return;
    }
    await this.#step(place ? 'compare' : 'open');
  }

  /** A name says little about the content, and a disk changes between two sittings: samples of what is stored are compared first. */
  async #compare() {
    const { worker } = this;
    const samples = await this.jobs.samplesOf(this.place);
    if (this.worker !== worker || this.hasEnded) return;
    this.tries = 0;
    if (samples.length === 0 && this.place.stored > 0 && isForeign(this.expected)) {
      this.#fail({ words: t('err.noSamples', { name: this.expected.name }) });
      return;
    }
    this.samples = samples;
    worker?.postMessage({ order: 'sample', ranges: samples });
  }

  async #sampled(digests) {
    const differs = this.samples.length !== digests.length || this.samples.some(({ sha256 }, index) => sha256 !== digests[index]);
    if (differs) {
      const name = this.expected?.name ?? this.file.name;
      this.#fail({ words: t('err.wrongContent', { name, file: this.file.name }), final: Boolean(this.expected), wrongFile: true });
      return;
    }
    this.isCompared = true;
    await this.#step('open');
  }

  async #open() {
    const { worker } = this;
    const isNew = !this.place;
    if (!isNew && !this.isCompared) throw new Error('an upload was to go on without a comparison');
    const place = isNew ? await this.jobs.newJob(this) : this.place;
    if (isNew && this.phase === 'canceled') {
      // It was canceled while the job was made: nobody would ever send to it.
      await this.jobs.cancelJob(place.job).catch(() => {});
      return;
    }
    if (this.worker !== worker || this.hasEnded) return;
    // Kept before anything else may fail, so that no second job is made of the same file.
    this.place = place;
    this.isCompared = true;
    Object.assign(this, { job: place.job, image: place.image, path: place.path, resumedAt: place.offset });
    if (place.state === 'Suspended') await this.jobs.resumeJob(place.job);
    if (this.worker !== worker || this.hasEnded) return;
    this.tries = 0;
    this.jobs.keepHandle(this);
    if (this.wanted === 'pause') {
      await this.#rest();
      return;
    }
    this.meter.clear();
    this.wasOpened = true;
    worker.postMessage({ order: 'send', path: this.path, slices: this.width ?? 2 });
    this.#to('sending', { waitsFor: null, pausedBy: null });
  }

  /** The sender is there and held: it goes on. */
  async #go() {
    const { worker } = this;
    await this.jobs.resumeJob(this.job);
    if (this.worker !== worker || this.hasEnded) return;
    this.tries = 0;
    if (this.wanted === 'pause') {
      await this.#held();
      return;
    }
    this.meter.clear();
    worker.postMessage({ order: 'go' });
    this.#to('sending', { waitsFor: null, pausedBy: null });
  }

  /** A pause before a byte was sent. The next start finds the job again. */
  async #rest() {
    this.#calm();
    const { worker, job } = this;
    if (job) await this.jobs.suspendJob(job).catch(() => {});
    if (this.worker !== worker || this.hasEnded) return;
    if (!this.wasOpened) {
      this.end();
      Object.assign(this, { place: null, isCompared: false });
    }
    this.#to('paused', { pausedBy: 'me', waitsFor: null });
  }

  #progressed({ stored, sent, hashed, missing, sliceBytes }) {
    this.meter.add(sent);
    Object.assign(this, { stored, sent: Math.max(sent, stored), hashed, missing, sliceBytes });
    this.dispatchEvent(new Event('progress'));
    this.dispatchEvent(new Event('change'));
  }

  #waits({ status, code, words, requestId, ms }) {
    if (this.wanted === 'pause' || this.phase !== 'sending' && this.phase !== 'waiting') return;
    let told = refusal(code, words);
    if (!navigator.onLine) told = t('wait.offline');
    else if (status === 0) told = t('wait.server');
    else if (code === 'no_space') told = t('wait.space');
    else if (!words) told = t('wait.busy');
    this.#to('waiting', { waitsFor: told, retryAt: Date.now() + ms, requestId });
  }

  #finishing(state) {
    this.stored = state.storedBytes;
    this.sent = this.stored;
    this.missing = state.missing;
    this.stagePercent = state.stagePercent;
    // A wish that is under way decides, not a state that may be older.
    if (['pausing', 'queued', 'starting'].includes(this.phase)) return;
    if (state.state === 'Suspended') {
      this.#to('paused', { pausedBy: this.wanted === 'pause' ? 'me' : 'other', waitsFor: null });
      return;
    }
    const phase = STAGES[state.stage];
    if (state.state !== 'Running' || (this.wanted === 'pause' && phase === 'sending')) return;
    this.wanted = 'run';
    if (phase && phase !== 'sending') this.#to(phase, { waitsFor: state.waitsFor ?? null });
    else this.#to('verifying');
  }

  #ready({ state, sha256, isUnread = false }) {
    this.end();
    this.jobs.dropHandle(this);
    const serverDigests = { md5: state.md5, sha256: state.sha256 };
    this.#to('ready', { serverDigests, sha256, isUnread, problem: null, stored: this.file.size, sent: this.file.size, missing: [] });
  }

  async #failed(data) {
    const size = this.file.size;
    if (data.code === 'gone' && this.job) {
      // The upload URL only knows that it is over; its job knows why.
      const { worker } = this;
      const job = await this.jobs.jobOf(this.job).catch(() => null);
      if (this.worker !== worker || this.hasEnded) return;
      if (job?.state === 'Canceled') data = { ...data, code: 'canceled' };
      else if (job?.state === 'Failed') data = { ...data, code: 'failed', words: told(job) || data.words };
    }
    const known = {
      other_size: () => t('err.otherSize', { theirs: bytes(data.length ?? 0), ours: bytes(size) }),
      changed: () => t('err.changed'),
      unreadable: () => t('err.unreadable'),
      digest: () => t('err.digest', { server: data.words, own: data.sha256 }),
      canceled: () => t('err.canceled'),
      gone: () => t('err.gone'),
    }[data.code];
    if (data.code === 'canceled') {
      this.end();
      this.#to('canceled', { problem: { words: known() } });
      return;
    }
    this.#fail({ words: known ? known() : refusal(data.code, data.words) || t('err.unknown'), requestId: data.requestId, code: data.code });
  }

  async #refused(error) {
    if (!(error instanceof ApiError)) {
      this.#fail({ words: t('err.unknown') });
      throw error;
    }
    if (!passes(error)) {
      this.#fail({ words: error.words, requestId: error.requestId, code: error.code });
      return;
    }
    if (this.wanted === 'pause') {
      await this.#rest();
      return;
    }
    // The answer was lost, the job may be made all the same: it is looked for before another is.
    if (this.next === 'open' && !this.place) this.next = 'find';
    const asksWho = isSession(error);
    const told = asksWho ? t('wait.session') : error.words;
    // Whoever logs in says when; asking before that only makes noise. With a new session already there it is asked once more.
    if (asksWho && !currentSession()) {
      this.waitsForSession = true;
      this.#to('waiting', { waitsFor: told, retryAt: null, requestId: null });
      return;
    }
    const backOff = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.tries, 10));
    this.tries += 1;
    const ms = Math.max(error.retryAfterMs ?? 0, backOff) * (1 + Math.random() / 4);
    this.timer = setTimeout(() => this.#step(this.next), ms);
    this.#to('waiting', { waitsFor: told, retryAt: Date.now() + ms, requestId: error.requestId });
  }

  /** Nothing is asked again by itself any more. */
  #calm() {
    clearTimeout(this.timer);
    this.timer = null;
    this.waitsForSession = false;
  }

  sessionBack() {
    if (!this.waitsForSession) return;
    this.#calm();
    this.#step(this.next);
  }

  #fail(problem) {
    this.end();
    this.#to('failed', { problem });
  }

  /** Ends the worker; the job on the server stays as it is. */
  end() {
    this.#calm();
    this.worker?.terminate();
    this.worker = null;
  }

  useConnections(width) {
    if (this.width === width) return;
    this.width = width;
    this.worker?.postMessage({ order: 'width', slices: width });
  }

  async pause() {
    if (!this.canPause) return;
    const { phase } = this;
    this.wanted = 'pause';
    if (phase === 'queued') {
      this.#to('paused', { pausedBy: 'me' });
      return;
    }
    this.#to('pausing');
    const isAsking = this.timer !== null || this.waitsForSession;
    // Between two tries there is nothing to wait for; a step that is under way sees the wish at its end.
    if (isAsking) await this.#rest();
    else if (this.wasOpened && phase !== 'starting') this.worker?.postMessage({ order: 'hold' });
  }

  async #held() {
    if (this.phase !== 'pausing') return;
    // A job that could not be suspended suspends by itself when no byte comes; the pause holds all the same.
    await this.jobs.suspendJob(this.job).catch(() => {});
    if (this.phase === 'pausing') this.#to('paused', { pausedBy: 'me', waitsFor: null });
  }

  /** It goes on when it is its turn: the queue decides, so that no more are sent at once than the browser has connections for. */
  resume() {
    if (!this.canResume) return;
    this.wanted = 'run';
    this.mayResume = true;
    this.#to('queued', { pausedBy: null, waitsFor: null });
  }

  retry() {
    // An upload that has ended cannot be gone on with: the file is sent anew.
    if (['gone', 'failed', 'unsafe_image'].includes(this.problem?.code)) this.expected = null;
    this.end();
    this.reset();
    this.#to('queued');
  }

  async cancel() {
    if (this.hasEnded) return;
    const { job, path } = this;
    this.end();
    this.#to('canceled', { problem: null });
    this.jobs.dropHandle(this);
    if (!job) return;
    try {
      await this.jobs.cancelJob(job);
    } catch (error) {
      // Too late: the image was there before.
      const state = path ? await this.jobs.stateOf(path) : null;
      if (state?.state === 'Succeeded') this.#ready({ state, sha256: null });
      else this.#to('canceled', { problem: { words: t('err.cancel', { words: error.words }), requestId: error.requestId } });
    }
  }

  networkLost() {
    if (this.phase === 'sending') this.#to('waiting', { waitsFor: t('wait.offline'), retryAt: null });
    if (this.wasOpened && this.isActive) {
      this.wasCut = true;
      this.worker?.postMessage({ order: 'hold' });
    }
  }

  networkBack() {
    if (!this.wasCut) return;
    this.wasCut = false;
    if (this.isActive && this.wanted === 'run' && this.wasOpened) this.worker?.postMessage({ order: 'go' });
  }
}

/** Why a job has failed, in the server's words. */
function told(job) {
  try {
    const { detail, cause } = JSON.parse(job.jobResult);
    return [detail, cause].filter(Boolean).join(' ');
  } catch {
    return '';
  }
}

const isSession = (error) => error.status === 401 || error.code === 'ID.1001';

/** ZStack answers every refusal with 503: by the code they are told apart. These two pass: a timeout, and a server that is busy. */
const PASSING = ['SYS.1001', 'SYS.1012'];
const isRefusal = ({ code }) => /^[A-Z_]+\.\d+$/.test(code) && !PASSING.includes(code);

/** Whether it passes by itself: the network, a session, a server that drains or is busy. */
function passes(error) {
  if (error.isNetwork || isSession(error)) return true;
  return !isRefusal(error) && ([408, 425, 429].includes(error.status) || error.status >= 500);
}

/** Whether an upload was begun by a client that names files in another way. */
const isForeign = (expected) => Boolean(expected) && !expected.imageId?.startsWith('ls1-');

/** Why this file is not the one that an unfinished upload needs; null if it is. */
function mismatch(expected, { file, imageId }) {
  if (expected.length && expected.length !== file.size) {
    return t('err.wrongSize', { name: expected.name, theirs: bytes(expected.length), ours: bytes(file.size), file: file.name });
  }
  if (expected.imageId?.startsWith('ls1-') && expected.imageId !== imageId) {
    return t('err.wrongContent', { name: expected.name, file: file.name });
  }
  return null;
}
