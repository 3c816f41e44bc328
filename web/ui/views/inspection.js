// What the inspector found in an image, as the server keeps it.

import { get } from '../api.js';
import { t } from '../i18n.js';

/** By image: an image never changes, so its inspection is asked once. Bounded; the oldest goes first. */
const known = new Map();
const KNOWN_MAX = 500;

/** The inspection of an image; null where the server does not tell. */
export async function inspectionOf(uuid) {
  if (known.has(uuid)) return known.get(uuid);
  try {
    const inspected = await get(`/v1/images/${encodeURIComponent(uuid)}/inspection`);
    known.set(uuid, inspected);
    if (known.size > KNOWN_MAX) known.delete(known.keys().next().value);
    return inspected;
  } catch {
    return null;
  }
}

/** The inspector's warnings, in its own words. */
export const warningsIn = (inspected) => (inspected?.warnings ?? []).map(({ words }) => words);

export function formatWords(image, inspected) {
  const format = (inspected?.inspected && inspected.format) || image.format;
  return `${format} · ${(inspected?.inspected && inspected.mediaType) || image.mediaType}`;
}

export function inspectionWords(inspected) {
  if (!inspected?.inspected) return t('inspect.none');
  const count = inspected.warnings?.length ?? 0;
  return t(count > 0 ? 'inspect.warned' : 'inspect.clean', { count, policy: inspected.policy ?? '–' });
}
