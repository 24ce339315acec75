// SPDX-License-Identifier: Apache-2.0
import { open } from 'node:fs/promises'
import { MAX_HEADER, parseHeader, type SafeTensor, SafetensorsError, spanOf } from '../lora/safetensors.ts'

/** A safetensors file on the disk, of which one tensor is read at a time. */
export interface SafetensorsFile {
  names(): string[]
  has(name: string): boolean
  shape(name: string): number[]
  read(name: string): Promise<SafeTensor>
  close(): Promise<void>
}

/** Opens a safetensors file as untrusted input; every entry is checked against the file. Throws SafetensorsError. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const read = async (length: number, at: number) => {
      const into = Buffer.alloc(length)
      for (let done = 0; done < length; ) {
        const { bytesRead } = await file.read(into, done, length - done, at + done)
        if (bytesRead === 0) throw new SafetensorsError('the file is cut off')
        done += bytesRead
      }
      return into
    }
    if (size < 8) throw new SafetensorsError('the file is shorter than its header')
    const length = (await read(8, 0)).readBigUInt64LE()
    if (length > MAX_HEADER || Number(length) > size - 8) {
      throw new SafetensorsError(`its header says ${length} bytes, which the file does not have`)
    }
    const start = 8 + Number(length)
    const header = parseHeader(await read(Number(length), 8))
    const entries = new Map(
      Object.entries(header)
        .filter(([name]) => name !== '__metadata__')
        .map(([name, entry]) => [name, spanOf(name, entry, size - start)] as const),
    )
    const find = (name: string) => {
      const entry = entries.get(name)
      if (!entry) throw new SafetensorsError(`there is no ${name}`)
      return entry
    }
    return {
      names: () => [...entries.keys()],
      has: (name) => entries.has(name),
      shape: (name) => find(name).shape,
      read: async (name) => {
        const { dtype, shape, begin, end } = find(name)
        return { dtype, shape, data: await read(end - begin, start + begin) }
      },
      close: () => file.close(),
    }
  } catch (err) {
    await file.close()
    throw err
  }
}
