/**
 * Numbers, sizes, durations and dates as people read them: always with a unit, measures to three significant digits,
 * counts exact, and "not detected" for what nobody knows. Nothing here ever returns NaN, undefined or an empty string.
 */
import type { Span } from '#contracts/span.ts'

export const notDetected = 'not detected'

const measure = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const small = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, useGrouping: true })
const hundredths = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const clockWithSeconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })

type Maybe = number | null | undefined

/** Beyond the safe integers nothing was counted or measured: such a number is an error or a lie. */
export function isShowable(value: Maybe): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER
}

/** `12,345`: an exact count. */
export function formatCount(value: Maybe): string {
  return isShowable(value) ? whole.format(Math.trunc(value)) : notDetected
}

/** `1 token`, `12 tokens`. The plural is the singular with an s unless given. */
export function formatPlural(value: Maybe, one: string, many = `${one}s`): string {
  return `${formatCount(value)} ${value === 1 ? one : many}`
}

/** Three significant digits; less than a thousandth of a unit is none of it. */
function threeDigits(value: number): string {
  return measure.format(value < 0.001 ? 0 : value)
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** `1.2 GiB`: binary units, never more than three digits before the point. */
export function formatBytes(bytes: Maybe): string {
  if (!isShowable(bytes)) return notDetected
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${threeDigits(value)} ${byteUnits[unit]}`
}

/** `12.3 tokens/s`. */
export function formatRate(tokensPerSecond: Maybe): string {
  return isShowable(tokensPerSecond) ? `${threeDigits(tokensPerSecond)} tokens/s` : notDetected
}

/** `4.79`, `−0.031`: a measure that may be below zero, to three significant digits. */
export function formatNumber(value: Maybe): string {
  if (typeof value !== 'number' || !isShowable(Math.abs(value))) return notDetected
  const digits = threeDigits(Math.abs(value))
  return value < 0 && digits !== '0' ? `−${digits}` : digits
}

/** `0.000312`: a rate however small it is, to three significant digits. */
export function formatSmall(value: Maybe): string {
  return isShowable(value) ? small.format(value < 1e-12 ? 0 : value) : notDetected
}

/** `4.79`: a loss, to the hundredth, so that two of them line up. */
export function formatLoss(value: Maybe): string {
  return isShowable(value) ? hundredths.format(value) : notDetected
}

/** `0.58 (0.55 to 0.61)`: a mean and the interval it lies in. */
export function formatInterval(of: { readonly mean: number; readonly low: number; readonly high: number }): string {
  return `${formatNumber(of.mean)} (${formatNumber(of.low)} to ${formatNumber(of.high)})`
}

/** `0.5 %` of a share from 0 to 1, to three significant digits. */
export function formatShare(share: Maybe): string {
  return isShowable(share) ? `${threeDigits(share * 100)} %` : notDetected
}

export function formatPercent(value: Maybe): string {
  return isShowable(value) ? `${whole.format(value)} %` : notDetected
}

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const dayLength = 24 * hour

function twoUnits(ms: number, large: number, largeName: string, small: number, smallName: string): string {
  const inSmall = Math.round(ms / small)
  const perLarge = large / small
  const rest = inSmall % perLarge
  const head = `${whole.format(Math.floor(inSmall / perLarge))} ${largeName}`
  return rest === 0 ? head : `${head} ${rest} ${smallName}`
}

/** `850 ms`, `12.3 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(milliseconds: Maybe): string {
  if (!isShowable(milliseconds)) return notDetected
  if (milliseconds < 999.5) return `${threeDigits(milliseconds)} ms`
  if (milliseconds < 59_950) return `${measure.format(milliseconds / second)} s`
  if (milliseconds < hour - 500) return twoUnits(milliseconds, minute, 'min', second, 's')
  if (milliseconds < dayLength - 30_000) return twoUnits(milliseconds, hour, 'h', minute, 'min')
  return twoUnits(milliseconds, dayLength, 'd', hour, 'h')
}

/** `just now`, `42 s ago`, `3 min ago`, `5 h ago`, `12 d ago`. A time ahead of this clock counts as now. */
export function formatAgo(thenMs: Maybe, nowMs: number): string {
  if (!isShowable(thenMs)) return notDetected
  const age = Math.max(0, nowMs - thenMs)
  if (age < 5 * second) return 'just now'
  if (age < minute) return `${Math.floor(age / second)} s ago`
  if (age < hour) return `${Math.floor(age / minute)} min ago`
  if (age < dayLength) return `${Math.floor(age / hour)} h ago`
  return `${whole.format(Math.floor(age / dayLength))} d ago`
}

/** The largest time a `Date` can hold; a claim beyond it is not a time. */
const largestTimeMs = 8.64e15

function isTime(timeMs: Maybe): timeMs is number {
  return isShowable(timeMs) && timeMs <= largestTimeMs
}

/** `15:40`. */
export function formatClock(timeMs: Maybe): string {
  return isTime(timeMs) ? clock.format(timeMs) : notDetected
}

/** `23 Nov 2026, 15:40:12`. */
export function formatDateTime(timeMs: Maybe): string {
  return isTime(timeMs) ? `${day.format(timeMs)}, ${clockWithSeconds.format(timeMs)}` : notDetected
}

/** `15:40:12` today, `23 Nov 2026, 15:40:12` on any other day. */
export function formatWhen(timeMs: Maybe, nowMs: number): string {
  if (!isTime(timeMs)) return notDetected
  return day.format(timeMs) === day.format(nowMs) ? clockWithSeconds.format(timeMs) : formatDateTime(timeMs)
}

/** For `<time datetime>`. */
export function formatIso(timeMs: Maybe): string {
  return isTime(timeMs) ? new Date(timeMs).toISOString() : ''
}

/** `4–7`, or `4`: a span by its first and last block, as people count. */
export function formatRange(span: Span): string {
  return span.end - span.start === 1 ? `${span.start}` : `${span.start}–${span.end - 1}`
}

/** `blocks 4–7`, or `block 4`. */
export function formatBlocks(span: Span): string {
  return `${span.end - span.start === 1 ? 'block' : 'blocks'} ${formatRange(span)}`
}

/** `blocks 0–3 and 6`. */
export function formatSpans(spans: readonly Span[]): string {
  const only = spans[0]
  if (only === undefined) return 'no blocks'
  if (spans.length === 1) return formatBlocks(only)
  const ranges = spans.map(formatRange)
  return `blocks ${ranges.slice(0, -1).join(', ')} and ${ranges.at(-1)}`
}

/** `…Kp9xYz12`: peer ids all begin alike, so their end tells them apart. */
export function shortPeerId(peerId: string): string {
  const id = displayText(peerId)
  return id.length <= 10 ? id : `…${id.slice(-8)}`
}

/** Control characters and those that turn the direction of text: they could make a name lie about its neighbours. */
const unsafeCharacters = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu

/** Text from others, fit to stand in a line of our own: one line, `longest` characters at most, nothing invisible. */
export function displayText(text: string, longest = 64): string {
  const clean = text.normalize('NFC').replace(unsafeCharacters, '').trim()
  const characters = Array.from(clean)
  return characters.length <= longest ? clean : `${characters.slice(0, longest - 1).join('')}…`
}

/** A peer's name if it gave one that can be read, else the end of its id. */
export function displayPeer(peer: { readonly nodeName: string | null; readonly peerId: string }): string {
  const name = peer.nodeName === null ? '' : displayText(peer.nodeName)
  return name === '' ? shortPeerId(peer.peerId) : name
}
