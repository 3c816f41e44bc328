// The frame: who is logged in, which view is shown, language and theme.

import { currentSession, keepAlive, logOut, query, sessionEvents } from './api.js';
import { announce, button, h, icon, say, svg } from './dom.js';
import { bytes } from './format.js';
import { language, languageEvents, speak, t } from './i18n.js';
import { startLive } from './live.js';
import { queue } from './queue.js';
import { imagesView } from './views/images.js';
import { jobsView } from './views/jobs.js';
import { loginView } from './views/login.js';
import { scheduleView } from './views/schedule.js';
import { uploadsView } from './views/uploads.js';

const VIEWS = { uploads: uploadsView, jobs: jobsView, images: imagesView, schedule: scheduleView };
const root = document.getElementById('app');
let leave = () => {};
let shell = null;

const wanted = () => {
  const [, name, rest] = location.hash.split('/');
  return { name: Object.hasOwn(VIEWS, name ?? '') ? name : 'uploads', rest: rest ? decoded(rest) : null };
};

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function show({ focus = true } = {}) {
  const { name, rest } = wanted();
  leave();
  for (const link of shell.links) {
    if (link.dataset.view === name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const view = VIEWS[name](rest);
  shell.main.replaceChildren(view.element);
  leave = view.leave ?? (() => {});
  document.title = `${t(`nav.${name}`)} · Longshore`;
  if (focus) shell.main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function brand() {
  return h('a', { class: 'brand', href: '#/uploads' },
    svg('svg', { viewBox: '0 0 32 32', class: 'mark', 'aria-hidden': 'true' },
      svg('rect', { width: 32, height: 32, rx: 8, class: 'mark-back' }),
      svg('path', { d: 'M7 20.5c3 2.4 6 2.4 9 0s6-2.4 9 0', class: 'mark-wave' }),
      svg('path', { d: 'M7 25.2c3 2.4 6 2.4 9 0s6-2.4 9 0', class: 'mark-wave deep' }),
      svg('path', { d: 'M16 16V6.4M11.6 10.6 16 6.2l4.4 4.4', class: 'mark-arrow' })),
    h('span', null, 'Longshore'));
}

function themeButton() {
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  };
  const control = button(isDark() ? 'sun' : 'moon', t('theme'), () => {
    const next = isDark() ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem('longshore.theme', next);
    } catch { /* Storage is off. */ }
    control.replaceChildren(icon(next === 'dark' ? 'sun' : 'moon'));
  }, { quiet: true });
  return control;
}

export function languageButton() {
  const other = language() === 'zh' ? 'en' : 'zh';
  const control = button('globe', other === 'zh' ? '中文' : 'English', () => speak(other), { kind: 'plain' });
  control.lang = other === 'zh' ? 'zh-CN' : 'en';
  return control;
}

function storageMeter() {
  const fillBar = svg('rect', { class: 'used', height: 6, rx: 3, width: 0 });
  const words = h('span', { class: 'meter-words' });
  const meter = h('div', { class: 'storage', role: 'img' },
    svg('svg', { viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      svg('rect', { class: 'all', width: 100, height: 6, rx: 3 }), fillBar), words);
  meter.hidden = true;
  const update = async () => {
    const { rows: [storage] } = await query('backup-storage', { limit: 1 });
    if (!storage) return;
    const used = storage.totalCapacity - storage.availableCapacity;
    fillBar.setAttribute('width', String(Math.max(1, (100 * used) / Math.max(1, storage.totalCapacity))));
    meter.classList.toggle('full', storage.availableCapacity < storage.totalCapacity / 10);
    say(words, t('storage.free', { free: bytes(storage.availableCapacity) }));
    const all = t('storage.words', { used: bytes(used), total: bytes(storage.totalCapacity), free: bytes(storage.availableCapacity) });
    meter.title = all;
    meter.setAttribute('aria-label', all);
    meter.hidden = false;
  };
  const timer = setInterval(() => currentSession() && !document.hidden && update().catch(() => {}), 30_000);
  update().catch(() => {});
  return { meter, update: () => update().catch(() => {}), stop: () => clearInterval(timer) };
}

function makeShell() {
  shell?.stop?.();
  const links = Object.keys(VIEWS).map((name) => h('a', { href: `#/${name}`, data: { view: name } }, t(`nav.${name}`)));
  const storage = storageMeter();
  const account = button('exit', t('signout', { account: currentSession()?.account ?? '' }), () => logOut(), { quiet: true });
  const main = h('main', { id: 'main', tabindex: '-1' });
  const skip = h('a', { class: 'skip', href: '#main', on: { click: (event) => { event.preventDefault(); main.focus(); } } }, t('skip'));
  const header = h('header', { class: 'top' },
    h('div', { class: 'bar' }, brand(), h('nav', { 'aria-label': t('nav.label') }, links),
      h('div', { class: 'tools' }, storage.meter, languageButton(), themeButton(), account)));
  root.replaceChildren(skip, header, main);
  shell = { links, main, stop: storage.stop, storage };
}

let wasBusy = false;
/** Phases that are told to people who do not see the page: by upload, the last one. */
const TOLD = new Set(['ready', 'failed', 'paused', 'waiting', 'canceled']);
const lastTold = new WeakMap();

queue.addEventListener('change', ({ detail: upload }) => {
  // What was stored shows in the room that is left.
  const isBusy = queue.active().length > 0;
  if (wasBusy && !isBusy) shell?.storage.update();
  wasBusy = isBusy;
  if (!upload || lastTold.get(upload) === upload.phase) return;
  lastTold.set(upload, upload.phase);
  if (TOLD.has(upload.phase)) announce(t('card.told', { name: upload.file.name, phase: t(`phase.${upload.phase}`) }));
});

function enter() {
  if (currentSession()) {
    makeShell();
    show({ focus: false });
  } else {
    leave();
    leave = () => {};
    shell?.stop?.();
    shell = null;
    document.title = `${t('login.title')} · Longshore`;
    root.replaceChildren(loginView({ tools: [languageButton(), themeButton()], isBusy: queue.isBusy() }));
  }
}

addEventListener('hashchange', () => shell && show());
sessionEvents.addEventListener('signedin', enter);
sessionEvents.addEventListener('signedout', enter);
languageEvents.addEventListener('change', enter);
// A dropped file never replaces the page, wherever it falls.
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => event.preventDefault());

keepAlive();
startLive();
enter();
