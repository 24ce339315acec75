// SPDX-License-Identifier: Apache-2.0

const DATE =
  /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?(?:\s*(Z|[+ -]\d{2}:?\d{2}))?$/i

/**
 * Turns an ISO date or time into the stored form, naive UTC with microseconds, so that text order is time
 * order; undefined when it is none. A time without an offset is UTC. With `end`, what is left out is taken
 * as its last moment: 2024-01-01 is the whole day.
 */
export function toStamp(text: string, end = false): string | undefined {
  const match = DATE.exec(text.trim())
  if (!match) return undefined
  const [, day, minutes, seconds, fraction, zone] = match
  const time = minutes ?? (end ? '23:59' : '00:00')
  const rest = seconds ?? (end ? '59' : '00')
  const micros = (fraction ?? '').padEnd(6, end ? '9' : '0').slice(0, 6)
  const utc = new Date(`${day}T${time}:${rest}Z`)
  // Date.parse rolls 2024-02-31 over to March.
  if (Number.isNaN(utc.getTime()) || !utc.toISOString().startsWith(day ?? ' ')) return undefined
  const shifted = new Date(utc.getTime() - offsetMs(zone))
  if (Number.isNaN(shifted.getTime())) return undefined
  return `${shifted.toISOString().slice(0, 19)}.${micros}`
}

/** A `+` in a query string arrives as a space. */
function offsetMs(zone: string | undefined): number {
  if (!zone || /^z$/i.test(zone)) return 0
  const digits = zone.replace(/\D/g, '')
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))
  return (zone.startsWith('-') ? -1 : 1) * minutes * 60_000
}
