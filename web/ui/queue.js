// The uploads of this page: which run, which wait for their turn, and what people may do with each.

import { ApiError, act, currentSession, get, query, sessionEvents, uploadPath } from './api.js';
import { forgetHandle, keepHandle } from './handles.js';
import { t } from './i18n.js';
import { Upload } from './upload.js';
import { stateOf } from './wire.js';

/** Files that are sent at once, and connections for all of them together: browsers allow six to a host, and the page needs some. */
const FILES_AT_ONCE = 2;
const SLICES_AT_ONCE = 4;
const LOCK_AGAIN_MS = 30_000;
/** Files in the list; more at a time are refused in words, so that a dropped home directory does no harm. */
export const FILES_MAX = 200;

class Queue extends EventTarget {
  constructor() {
    super();
    /** @type {Upload[]} */
    this.uploads = [];
    this.wakeLock = null;
    this.isAskingForLock = false;
    this.lockRefusedAt = -Infinity;
    addEventListener('offline', () => this.#each((upload) => upload.networkLost()));
    addEventListener('online', () => this.#each((upload) => upload.networkBack()));
    addEventListener('beforeunload', (event) => {
      if (!this.isBusy()) return;
      event.preventDefault();
      event.returnValue = '';
    });
    document.addEventListener('visibilitychange', () => this.#holdScreen());
    sessionEvents.addEventListener('signedin', () => {
      this.#keepOwn();
      this.#each((upload) => upload.sessionBack());
      this.#pump();
    });
  }

  /** Takes files up. `expected` is the unfinished upload that they are to go on with, if one was named. Tells how many were left out. */
  add(files, { expected = null, handles = [] } = {}) {
    const room = Math.max(0, FILES_MAX - this.uploads.length);
    const taken = files.slice(0, room);
    taken.forEach((file, index) => {
      const upload = new Upload(file, { expected, handle: handles[index] ?? null, jobs: this });
      upload.account = currentSession()?.accountUuid ?? null;
      upload.addEventListener('change', () => this.#changed(upload));
      this.uploads.push(upload);
    });
    this.#pump();
    this.#changed(null);
    return files.length - taken.length;
  }

  isBusy() {
    return this.uploads.some((upload) => upload.isActive || upload.phase === 'queued');
  }

  active() {
    return this.uploads.filter((upload) => upload.isActive);
  }

  remove(upload) {
    upload.end();
    this.uploads = this.uploads.filter((other) => other !== upload);
    this.#changed(null);
    this.#pump();
  }

  clearEnded() {
    for (const upload of this.uploads.filter((one) => one.hasEnded)) this.remove(upload);
  }

  pauseAll() {
    this.#each((upload) => upload.canPause && upload.pause());
  }

  resumeAll() {
    this.#each((upload) => {
      if (upload.canResume) upload.resume();
      else if (upload.phase === 'failed' && upload.canRetry) upload.retry();
    });
  }

  cancelAll() {
    this.#each((upload) => upload.isUnfinished && upload.cancel());
  }

  /**
   * The upload of this file that this account has under way, by whichever client; null if there is none. An admin sees those of others
   * too: what was only dropped here is not sent into them.
   */
  async existingOf(upload) {
    const found = await existing(upload.imageId);
    if (!found) return null;
    const { longJobUuid: job, imageUuid: image, offset, longJobState: state } = found;
    const own = await query('longjobs', { q: [`uuid=${job}`, `accountUuid=${currentSession()?.accountUuid}`], limit: 1 });
    if (own.rows.length === 0) return null;
    const isPausedByPerson = own.rows[0].suspendReason === 'user';
    return { job, image, path: uploadPath(found.imageUploadUrl), offset, state, isPausedByPerson };
  }

  async jobOf(uuid) {
    return (await get(`/zstack/v1/longjobs/${uuid}`)).inventories?.[0] ?? null;
  }

  /** Where an upload stands; null if nobody knows. */
  async stateOf(path) {
    return (await stateOf(path)).state ?? null;
  }

  /** A new job for this file. */
  async newJob(upload) {
    const { name, size } = upload.file;
    const iso = upload.format === 'iso';
    const jobData = {
      name: shortened(name),
      url: `upload://${encodeURIComponent(name).slice(0, 900)}`,
      format: upload.format,
      mediaType: iso ? 'ISO' : 'RootVolumeTemplate',
    };
    const params = { jobName: 'APIAddImageMsg', name: shortened(name), jobData: JSON.stringify(jobData) };
    const systemTags = [`uploadImage::${upload.imageId}`, `imageSize::${size}`];
    const { inventory } = await act('POST', '/zstack/v1/longjobs', { params, systemTags });
    const event = JSON.parse(inventory.jobResult ?? 'null');
    const url = event?.inventory?.backupStorageRefs?.[0]?.installPath;
    const path = url ? uploadPath(url) : null;
    if (!path) throw new ApiError({ code: 'no_url', words: t('err.noUrl') });
    return { job: inventory.uuid, image: inventory.targetResourceUuid, path, offset: 0 };
  }

  /** Digests of what is stored of an upload; none where the server has nothing of it any more. */
  async samplesOf({ image }) {
    try {
      return (await get(`/v1/images/${image}/samples`)).samples;
    } catch (error) {
      if (error.status === 404 || error.status === 410) return [];
      throw error;
    }
  }

  suspendJob(job) {
    return act('PUT', `/zstack/v1/longjobs/${job}/actions`, { suspendLongJob: {} });
  }

  /** It may run already: then there is nothing to resume. */
  async resumeJob(job) {
    try {
      await act('PUT', `/zstack/v1/longjobs/${job}/actions`, { resumeLongJob: {} });
    } catch (error) {
      if (error.code !== 'SYS.1007') throw error;
    }
  }

  cancelJob(job) {
    return act('PUT', `/zstack/v1/longjobs/${job}/actions`, { cancelLongJob: {} });
  }

  keepHandle(upload) {
    if (upload.handle && upload.imageId) keepHandle(upload.imageId, upload.handle).catch(() => {});
  }

  dropHandle(upload) {
    if (upload.imageId) forgetHandle(upload.imageId).catch(() => {});
  }

  #each(act) {
    for (const upload of [...this.uploads]) act(upload);
  }

  #changed(upload) {
    if (upload && (upload.hasEnded || upload.isStopped || upload.phase === 'queued')) this.#pump();
    this.#holdScreen();
    this.dispatchEvent(new CustomEvent('change', { detail: upload }));
  }

  /** Somebody else logged in: what another person chose is not sent into this account. Jobs on the server stay as they are. */
  #keepOwn() {
    const account = currentSession()?.accountUuid;
    const isOwn = (upload) => !upload.account || !account || upload.account === account;
    for (const upload of this.uploads) if (!isOwn(upload)) upload.end();
    this.uploads = this.uploads.filter(isOwn);
    this.#changed(null);
  }

  #pump() {
    // Looked up each time: what starts may end at once, and then the next has started already.
    while (this.active().length < FILES_AT_ONCE) {
      const next = this.uploads.find((upload) => upload.phase === 'queued');
      if (!next) break;
      next.start();
    }
    const active = this.active();
    const width = Math.max(1, Math.floor(SLICES_AT_ONCE / Math.max(1, active.length)));
    for (const upload of active) upload.useConnections(width);
  }

  #wantsScreen() {
    return this.active().length > 0 && document.visibilityState === 'visible';
  }

  /** While bytes are sent the screen stays on, where a browser offers that. One that refuses is asked again after a while only. */
  async #holdScreen() {
    if (!this.#wantsScreen()) {
      this.wakeLock?.release().catch(() => {});
      this.wakeLock = null;
      return;
    }
    if (this.wakeLock || this.isAskingForLock || !navigator.wakeLock || performance.now() - this.lockRefusedAt < LOCK_AGAIN_MS) return;
    this.isAskingForLock = true;
    const lock = await navigator.wakeLock.request('screen').catch(() => null);
    this.isAskingForLock = false;
    if (!lock) this.lockRefusedAt = performance.now();
    this.wakeLock = lock;
    lock?.addEventListener('release', () => { if (this.wakeLock === lock) this.wakeLock = null; });
    // It may have ended while the browser was asked.
    if (lock && !this.#wantsScreen()) this.#holdScreen();
  }
}

async function existing(imageId) {
  const details = await get(`/zstack/v1/images/upload-job/details/${encodeURIComponent(imageId)}`);
  return details.existingJobDetails?.[0] ?? null;
}

/** Names have at most 255 characters. */
const shortened = (name) => [...name].slice(0, 255).join('');

export const queue = new Queue();
