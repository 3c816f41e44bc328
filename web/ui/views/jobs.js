// Every upload job, of whichever client.

import { act, contains, currentSession, get, query, uploadPath } from '../api.js';
import { button, h, keyed, say, toast, toggle } from '../dom.js';
import { bytes, duration, exactly, when, whenMs } from '../format.js';
import { said, t } from '../i18n.js';
import { onNews } from '../live.js';
import { formatWords, inspectionOf, inspectionWords } from './inspection.js';
import { confirmDialog, dialog, digestRow, badge, empty, pager, problemNote, searchBox, stateBadge } from './parts.js';

const PAGE = 50;
const STATES = ['', 'Running', 'Suspended', 'Succeeded', 'Failed', 'Canceled'];

export function jobsView(opened) {
  let words = '';
  let state = '';
  let start = 0;
  let latest = 0;
  const body = h('tbody');
  const table = h('table', { class: 'rows' },
    h('thead', null, h('tr', null, ['name', 'state', 'progress', 'created', 'took'].map((name) => h('th', { scope: 'col', class: `col-${name}` }, t(`col.${name}`))))), body);
  const nothing = h('div', { hidden: true });
  const problem = h('div');
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': t('jobs.filter') }, STATES.map((name) => h('button', {
    type: 'button', class: 'chip', 'aria-pressed': String(name === ''), data: { state: name }, on: { click: () => choose(name) } }, name ? t(`state.${name}`) : t('jobs.all'))));
  const pages = pager((step) => { start = Math.max(0, start + step * PAGE); load(); });
  const element = h('div', { class: 'view' },
    h('div', { class: 'view-head' }, h('h1', null, t('nav.jobs')), searchBox(t('jobs.search'), (text) => { words = text; start = 0; load(); })),
    chips, problem, h('div', { class: 'card table-card' }, table, nothing), pages.element);

  function choose(name) {
    state = name;
    start = 0;
    for (const chip of chips.children) chip.setAttribute('aria-pressed', String(chip.dataset.state === name));
    load();
  }

  async function load() {
    if (!currentSession()) return;
    latest += 1;
    const mine = latest;
    const q = [];
    if (state) q.push(`state=${state}`);
    if (words) q.push(contains('name', words));
    try {
      const { rows, total } = await query('longjobs', { q, limit: PAGE, start, total: true });
      // An answer that was overtaken is no answer.
      if (mine !== latest) return;
      if (rows.length === 0 && start > 0) {
        start = 0;
        load();
        return;
      }
      problem.replaceChildren();
      keyed(body, rows, (job) => job.uuid, jobRow);
      toggle(table, rows.length > 0);
      toggle(nothing, rows.length === 0);
      nothing.replaceChildren(empty('clock', words || state ? t('jobs.noneFound') : t('jobs.none'), words || state ? t('jobs.noneFoundWords') : t('jobs.noneWords')));
      pages.show({ start, shown: rows.length, total });
      element.dataset.loaded = `${state}|${words}|${start}`;
    } catch (error) {
      if (mine === latest) problem.replaceChildren(problemNote(error));
    }
  }

  const deaf = onNews(load);
  load();
  if (opened) jobDialog(opened);
  return { element, leave: deaf };
}

const fileOf = (job) => job.name || job.uuid;

function jobRow() {
  const name = h('button', { type: 'button', class: 'row-name' });
  const state = h('span', { class: 'badge' });
  const progress = h('td', { class: 'col-progress' });
  const created = h('td', { class: 'col-created' });
  const took = h('td', { class: 'col-took' });
  const row = h('tr', null, h('th', { scope: 'row', class: 'col-name' }, name), h('td', { class: 'col-state' }, state), progress, created, took);
  let uuid = null;
  name.addEventListener('click', () => jobDialog(uuid));
  row.show = (job) => {
    uuid = job.uuid;
    say(name, fileOf(job));
    name.title = fileOf(job);
    badge(state, job.state);
    say(progress, progressOf(job));
    say(created, when(job.createDate));
    created.title = exactly(job.createDate);
    say(took, job.executeTime ? duration(job.executeTime) : '–');
  };
  return row;
}

function progressOf(job) {
  if (job.state === 'Suspended' && job.suspendReason) return t(`reason.${job.suspendReason}`);
  if (job.stage && ['Running', 'Suspended'].includes(job.state)) return `${t(`phase.${job.stage}`)} ${job.stagePercent ?? 0} %`;
  if (job.state === 'Failed') return resultOf(job)?.detail ?? '–';
  return '–';
}

function resultOf(job) {
  try {
    return JSON.parse(job.jobResult ?? 'null');
  } catch {
    return { detail: job.jobResult };
  }
}

/** Everything about one job, followed while it is open. */
export async function jobDialog(uuid) {
  const content = h('div', null, h('p', { class: 'muted' }, t('loading')));
  const { element } = dialog(t('job.title'), content);
  const load = async () => {
    try {
      const { inventories: [job] } = await get(`/zstack/v1/longjobs/${encodeURIComponent(uuid)}`);
      if (!job) {
        content.replaceChildren(h('p', null, t('job.gone')));
        return;
      }
      content.replaceChildren(...await jobParts(job, load, () => element.close()));
    } catch (error) {
      content.replaceChildren(problemNote(error));
    }
  };
  const deaf = onNews((news) => {
    // What is selected or focused in the dialog is not swept away by news that say nothing about it.
    const concerns = !news || news.some((one) => one.all || one.jobs?.some(({ job }) => job === uuid));
    if (concerns && !content.contains(document.activeElement) && getSelection().isCollapsed) load();
  });
  element.addEventListener('close', deaf);
  await load();
}

async function jobParts(job, reload, close) {
  const asked = get(`/v1/jobs/${job.uuid}/history`).then(({ states }) => states, () => []);
  const image = await get(`/zstack/v1/images/${job.targetResourceUuid}`).then((found) => found.inventories[0], () => null);
  const path = image?.status === 'Downloading' ? uploadPath(image.backupStorageRefs?.[0]?.installPath ?? '') : null;
  const upload = path ? await fetch(path, { cache: 'no-store', credentials: 'omit' }).then((answer) => (answer.ok ? answer.json() : null), () => null) : null;
  const rows = [];
  const row = (name, ...value) => rows.push(h('dt', null, name), h('dd', null, value));
  const result = resultOf(job);
  row(t('col.state'), stateBadge(job.state), job.suspendReason ? ` ${t(`reason.${job.suspendReason}`)}` : null);
  if (job.stage) row(t('job.stage'), `${t(`phase.${job.stage}`)} · ${job.stagePercent ?? 0} %`);
  if (job.waitsFor) row(t('job.waits'), said(job.waitsFor));
  // ZStack's sentence about a suspended job names no reason; its cause does.
  const told = job.state === 'Suspended' ? [result?.cause ?? result?.detail] : [result?.detail, result?.cause];
  if (job.state !== 'Succeeded' && told.some(Boolean)) row(t('job.detail'), told.filter(Boolean).map((words, index) => h('p', { class: index ? 'muted' : '' }, words)));
  if (upload) row(t('job.stored'), upload.length ? t('card.of', { sent: bytes(upload.storedBytes), size: bytes(upload.length) }) : bytes(upload.storedBytes));
  row(t('col.created'), h('time', { datetime: exactly(job.createDate) }, when(job.createDate)));
  row(t('job.changed'), h('time', { datetime: exactly(job.lastOpDate) }, when(job.lastOpDate)));
  if (job.executeTime) row(t('col.took'), duration(job.executeTime));
  if (image?.status === 'Ready') {
    row(t('fact.image'), h('a', { href: `#/images/${image.uuid}`, on: { click: close } }, image.name));
    const inspected = await inspectionOf(image.uuid);
    row(t('fact.format'), formatWords(image, inspected));
    row(t('image.inspected'), inspectionWords(inspected));
    if (image.sha256Sum) row('SHA-256', digestRow(image.sha256Sum));
    if (image.md5Sum && !image.md5Sum.includes(' ')) row('MD5', digestRow(image.md5Sum));
  }
  row(t('fact.job'), digestRow(job.uuid));
  const parts = [h('p', { class: 'dialog-name' }, fileOf(job)), h('dl', { class: 'facts' }, rows)];
  const states = await asked;
  if (states.length > 0) parts.push(h('h3', null, t('job.history')), h('ol', { class: 'history' }, states.map(historyItem)));
  parts.push(h('div', { class: 'row end' }, actionsOf(job, reload, close)));
  return parts;
}

/** One state that the job has had: since when, and why. */
function historyItem({ state, atMs, at, cause }) {
  return h('li', null, stateBadge(state), h('time', { datetime: at }, whenMs(atMs)), cause ? h('span', { class: 'muted' }, said(cause)) : null);
}

function actionsOf(job, reload, close) {
  const run = (name, words) => async () => {
    try {
      await act('PUT', `/zstack/v1/longjobs/${job.uuid}/actions`, { [name]: {} });
      toast(words);
    } catch (error) {
      toast(error.words ?? String(error), 'bad');
    }
    document.activeElement?.blur();
    reload();
  };
  const remove = async () => {
    close();
    if (!await confirmDialog(t('job.deleteTitle'), t('job.deleteWords', { name: fileOf(job) }), t('act.delete'))) return;
    try {
      await act('DELETE', `/zstack/v1/longjobs/${job.uuid}`);
      toast(t('job.deleted'));
    } catch (error) {
      toast(error.words ?? String(error), 'bad');
    }
  };
  switch (job.state) {
    case 'Running': return [button('pause', t('act.pause'), run('suspendLongJob', t('job.paused'))), button('cancel', t('act.cancel'), run('cancelLongJob', t('job.canceled')))];
    case 'Suspended': return [button('play', t('act.resume'), run('resumeLongJob', t('job.resumed'))), button('cancel', t('act.cancel'), run('cancelLongJob', t('job.canceled')))];
    case 'Waiting': return [button('cancel', t('act.cancel'), run('cancelLongJob', t('job.canceled')))];
    case 'Failed': case 'Canceled': return [button('retry', t('act.rerun'), run('rerunLongJob', t('job.rerun'))), button('trash', t('act.delete'), remove, { kind: 'danger' })];
    case 'Succeeded': return [button('trash', t('act.delete'), remove, { kind: 'danger' })];
    default: return [];
  }
}
