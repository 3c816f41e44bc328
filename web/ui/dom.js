// Elements from data. Text goes in as text nodes and attributes, never as markup: file names come from strangers.

const SVG = 'http://www.w3.org/2000/svg';

/** Makes an element: `h('button', { class: 'x', on: { click } }, 'words', child)`. Children that are null are left out. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value == null || value === false) continue;
    if (name === 'on') for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (name in element && (name === 'value' || name === 'checked' || name === 'disabled' || name === 'files')) {
      element[name] = value;
    } else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat(9).filter((child) => child != null && child !== false));
  return element;
}

/** Sets text only where it differs: a screen reader speaks what changes. */
export function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

export function toggle(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/** Brings a list's children in line with `items`, keeping the elements (and their focus) of those that stay. */
export function keyed(list, items, keyOf, make) {
  const before = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let at = list.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let row = before.get(key);
    if (row) before.delete(key);
    else {
      row = make(item);
      row.dataset.key = key;
    }
    if (row === at) at = at.nextElementSibling;
    else list.insertBefore(row, at);
    row.show?.(item);
  }
  const isFocused = [...before.values()].some((gone) => gone.contains(document.activeElement));
  const place = isFocused ? [...list.children].findIndex((row) => row.contains(document.activeElement)) : -1;
  for (const gone of before.values()) gone.remove();
  // Whoever works with the keyboard stands where the row was.
  if (isFocused) (reachable(list.children[Math.min(place, list.children.length - 1)]) ?? document.getElementById('main'))?.focus();
}

const reachable = (element) => element?.querySelector('button:not([hidden]), a[href]');

/**
 * Runs `change`; if it hides the one of `buttons` that has the focus, the first that is shown takes it, or `element` until one is. No
 * button that does harm is among them: whoever presses a key twice must not do something else the second time.
 */
export function keepingFocus(element, buttons, change) {
  const had = document.activeElement;
  const isOurs = buttons.includes(had) || had === element;
  change();
  if (!isOurs || (had !== element && !had.hidden)) return;
  element.tabIndex = -1;
  (buttons.find((one) => !one.hidden) ?? element).focus();
}

const PATHS = {
  upload: 'M12 16V4m-5 5 5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 5l12 7-12 7z',
  retry: 'M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6',
  cancel: 'M6 6l12 12M18 6 6 18',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  check: 'M5 12.5 10 17.5 19.5 7',
  download: 'M12 4v12m-5-5 5 5 5-5M4 20h16',
  trash: 'M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M2 12h2m16 0h2M4.9 4.9l1.4 1.4m11.4 11.4 1.4 1.4M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4',
  moon: 'M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5z',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 20 20',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4',
  disc: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.5 2',
  alert: 'M12 4 2.8 20h18.4zM12 10v4.5m0 2.6v.1',
  exit: 'M14 4h5v16h-5M4 12h11m-4-4 4 4-4 4',
  globe: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18',
};

/** A line icon; decoration, the button has words of its own. */
export function icon(name) {
  const path = svg('path', { d: PATHS[name] });
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' }, path);
}

/** A button with an icon and words; `quiet` shows the words to screen readers and as a tooltip only. */
export function button(name, words, click, { quiet = false, kind = '' } = {}) {
  const attributes = { type: 'button', class: `button ${kind} ${quiet ? 'quiet' : ''}`, on: { click } };
  if (quiet) Object.assign(attributes, { 'aria-label': words, title: words });
  return h('button', attributes, name && icon(name), !quiet && h('span', null, words));
}

/** Beside an open dialog everything is shut off, live regions too: it has its own. They are there before the first words are. */
const region = (name) => [...document.querySelectorAll('dialog[open]')].at(-1)?.querySelector(`.${name}`) ?? document.getElementById(name);

export const liveRegions = () => [
  h('div', { class: 'spoken said', role: 'status', 'aria-live': 'polite' }), h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' })];

/** What waits to be spoken; several things that happen together are one sentence after the other. */
const unspoken = [];
const SPOKEN_MAX = 5;

/** Words that are spoken once, politely. */
export function announce(words) {
  unspoken.push(words);
  if (unspoken.length > 1) return;
  setTimeout(() => {
    const last = unspoken.splice(0).slice(-SPOKEN_MAX);
    const place = region('said');
    if (place) place.textContent = last.join(' ');
  }, 300);
}

/** A short notice at the lower edge, spoken as well. */
export function toast(words, kind = '') {
  const stack = region('toasts');
  const note = h('div', { class: `toast ${kind}` }, words);
  stack.append(note);
  while (stack.children.length > 3) stack.firstChild.remove();
  setTimeout(() => note.remove(), kind === 'bad' ? 9000 : 4000);
}

export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard; the old way still works.
    const area = h('textarea', { class: 'offscreen', value: text });
    const had = document.activeElement;
    (document.activeElement?.closest('dialog') ?? document.body).append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
    had?.focus();
  }
  toast(done);
}
