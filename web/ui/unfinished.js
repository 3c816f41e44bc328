// What the server has of uploads that are not finished, whoever began them.

import { query, uploadPath } from './api.js';
import { handleOf } from './handles.js';

/** More would be no list for a person; the jobs have their own view. */
const SHOWN_MAX = 30;
const ASKED_AT_ONCE = 3;

/** By path: the last state, and when bytes were last seen to come. */
const states = new Map();
const MOVING_MS = 6000;

/** Those but these images, which this page sends itself, and how many more there are than fit into a list. */
export async function unfinished(ownImages) {
  const { rows: all, total } = await query('images', { q: ['status=Downloading'], limit: SHOWN_MAX, total: true });
  const rows = all.filter((image) => !ownImages.has(image.uuid));
  const found = [];
  for (let at = 0; at < rows.length; at += ASKED_AT_ONCE) {
    found.push(...await Promise.all(rows.slice(at, at + ASKED_AT_ONCE).map(described)));
  }
  for (const path of states.keys()) if (!rows.some((image) => place(image) === path)) states.delete(path);
  return { found: found.filter(Boolean), more: Math.max(0, total - all.length) };
}

const place = (image) => uploadPath(image.backupStorageRefs?.[0]?.installPath ?? '');

async function described(image) {
  const path = place(image);
  if (!path) return null;
  const answer = await fetch(path, { cache: 'no-store', credentials: 'omit' }).catch(() => null);
  const state = answer?.ok ? await answer.json().catch(() => null) : states.get(path)?.state;
  if (!state) return null;
  const before = states.get(path);
  const grew = before && state.storedBytes > before.state.storedBytes;
  const grewAt = grew ? Date.now() : before?.grewAt ?? 0;
  states.set(path, { state, grewAt });
  const imageId = image.systemTags?.find((tag) => tag.startsWith('uploadImage::'))?.slice('uploadImage::'.length) ?? null;
  return {
    job: state.jobUuid,
    image: image.uuid,
    name: fileName(image),
    imageId,
    path,
    length: state.length ?? null,
    offset: state.offset,
    stored: state.storedBytes,
    missing: state.missing,
    state: state.state,
    stage: state.stage,
    stagePercent: state.stagePercent,
    waitsFor: state.waitsFor ?? null,
    isPaused: state.state === 'Suspended' && state.waitsFor === 'resumeLongJob',
    isMoving: Date.now() - grewAt < MOVING_MS,
    handle: await handleOf(imageId),
  };
}

/** The name of the file that the upload was begun with, else the image's. */
function fileName(image) {
  const url = image.url ?? '';
  if (!url.startsWith('upload://') || url.length <= 'upload://'.length) return image.name;
  try {
    return decodeURIComponent(url.slice('upload://'.length));
  } catch {
    return image.name;
  }
}
