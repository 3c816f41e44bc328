// Numbers and times for people, in the language of the page.

import { language } from './i18n.js';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(count) {
  if (!Number.isFinite(count)) return '–';
  let unit = 0;
  let amount = count;
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || amount >= 100 ? 0 : amount >= 10 ? 1 : 2;
  // The space does not break: a number without its unit is nothing.
  return `${amount.toFixed(digits).replace(/\.0+$/, '')}\u00a0${UNITS[unit]}`;
}

export const rate = (perSecond) => `${bytes(perSecond)}/s`;

export function percent(part, whole) {
  if (!(whole > 0)) return '0\u00a0%';
  // Never "100 %" before it is all there.
  return `${Math.floor((100 * Math.min(part, whole)) / whole)}\u00a0%`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  const zh = language() === 'zh';
  const units = zh ? ['\u00a0秒', '\u00a0分', '\u00a0小时', '\u00a0天'] : ['\u00a0s', '\u00a0min', '\u00a0h', '\u00a0d'];
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole}${units[0]}`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return minutes < 10 && whole % 60 ? `${minutes}${units[1]}\u00a0${whole % 60}${units[0]}` : `${minutes}${units[1]}`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}${units[2]}\u00a0${minutes % 60}${units[1]}`;
  return `${Math.floor(hours / 24)}${units[3]}`;
}

const FORM = /^(\w{3}) (\d+), (\d{4}),? (\d+):(\d\d):(\d\d) ([AP])M$/;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
let zoneMs = 0;

/** The wire's timestamps are local to the server and do not say so; the first one whose true time is known tells the difference. */
export function learnZone(text, trueMs) {
  const read = plainTime(text);
  if (read !== null) zoneMs = Math.round((read - trueMs) / 900_000) * 900_000;
}

function plainTime(text) {
  const parts = FORM.exec(text ?? '');
  if (!parts) return null;
  const [, month, day, year, hour, minute, second, half] = parts;
  const hours = (Number(hour) % 12) + (half === 'P' ? 12 : 0);
  return Date.UTC(Number(year), MONTHS.indexOf(month), Number(day), hours, Number(minute), Number(second));
}

/** Epoch milliseconds of a timestamp on the wire; null if it is none. */
export function timeMs(text) {
  const read = plainTime(text);
  return read === null ? null : read - zoneMs;
}

export function when(text) {
  const ms = timeMs(text);
  return ms === null ? text ?? '–' : whenMs(ms);
}

/** Making one costs more than a row of a list: made once for each language and form. */
const makers = new Map();

function maker(locale, name, form) {
  const key = `${locale} ${name}`;
  if (!makers.has(key)) makers.set(key, new Intl.DateTimeFormat(locale, form));
  return makers.get(key);
}

export function whenMs(ms) {
  const locale = language() === 'zh' ? 'zh-CN' : 'en-GB';
  const isToday = new Date().toDateString() === new Date(ms).toDateString();
  const short = isToday ? maker(locale, 'time', { timeStyle: 'short' }) : maker(locale, 'date', { dateStyle: 'medium', timeStyle: 'short' });
  return short.format(ms);
}

/** The date and time in full, for tooltips. */
export function exactly(text) {
  const ms = timeMs(text);
  return ms === null ? '' : new Date(ms).toISOString();
}
