// SPDX-License-Identifier: Apache-2.0

/**
 * What git reads as the outcome of a push that was refused as a whole, so that the user sees `message` instead of a
 * number. `head` is the beginning of the request, which names the refs and what the client understands.
 */
export function refusePush(head: Buffer, message: string): Buffer {
  const { refs, capabilities } = readCommands(head)
  const short = message.replaceAll(/[\n\0]/g, ' ').slice(0, 800)
  const report = [`unpack ${short}\n`, ...refs.map((ref) => `ng ${ref} refused\n`)].map(packet)
  const status = Buffer.concat([...report, FLUSH])
  if (!capabilities.includes('side-band-64k')) return status
  return Buffer.concat([band(2, Buffer.from(`${short}\n`)), band(1, status), FLUSH])
}

const FLUSH = Buffer.from('0000')

/** The lines `<old> <new> <ref>` at the start of a push; the first has the capabilities after a zero byte. */
function readCommands(head: Buffer): { refs: string[]; capabilities: string[] } {
  const refs: string[] = []
  let capabilities: string[] = []
  for (let at = 0; at + 4 <= head.length; ) {
    const length = Number.parseInt(head.toString('latin1', at, at + 4), 16)
    if (!(length > 4) || at + length > head.length) break
    const [command = '', more = ''] = head.toString('utf8', at + 4, at + length).split('\0')
    const [, ref] = /^[0-9a-f]+ [0-9a-f]+ (\S+)\s*$/.exec(command) ?? []
    if (ref) refs.push(ref)
    if (more) capabilities = more.trim().split(' ')
    at += length
  }
  return { refs, capabilities }
}

function packet(content: string): Buffer {
  const bytes = Buffer.from(content)
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, '0')), bytes])
}

/** Pieces of one band of the side-band, which holds 65515 bytes each at most. */
function band(number: number, bytes: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 60_000) {
    const piece = bytes.subarray(at, at + 60_000)
    pieces.push(Buffer.from((piece.length + 5).toString(16).padStart(4, '0')), Buffer.from([number]), piece)
  }
  return Buffer.concat(pieces)
}
