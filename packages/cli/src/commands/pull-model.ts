// SPDX-License-Identifier: Apache-2.0
import { writeFile } from 'node:fs/promises'
import { NoRoomError, PullError } from '../pull/errors.ts'
import { pullFromFolder, pullFromHub } from '../pull/pull.ts'

export interface PullModelOptions {
  endpoint?: string
  type: 'model' | 'dataset'
  revision: string
  from?: string
  to: string
  capacity?: string
  terminationLog: string
  tries?: number
}

/** Exit code of a model that does not fit, told from others that another try may mend. */
const NO_ROOM = 28
const FINAL = 2

/** `nemoctl pull-model`: brings a model onto a volume. Gives the exit code: 0, 28 for no room, 2 for other ends. */
export async function pullModel(
  id: string,
  options: PullModelOptions,
  env: Record<string, string | undefined>,
): Promise<number> {
  const abort = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => abort.abort())
  const capacityBytes = options.capacity === undefined ? undefined : Number(options.capacity)
  const shared = {
    target: options.to,
    capacityBytes,
    tries: options.tries,
    say: console.log,
    signal: abort.signal,
  }
  try {
    const endpoint = options.endpoint ?? env.HF_ENDPOINT ?? 'https://huggingface.co'
    const { files, revision } = options.from
      ? await pullFromFolder({ id, folder: options.from }, shared)
      : await pullFromHub(
          { endpoint, id, type: options.type, revision: options.revision, token: env.HF_TOKEN },
          shared,
        )
    const bytes = files.reduce((sum, file) => sum + file.size, 0)
    await tell(options.terminationLog, { id, revision, files: files.length, bytes })
    console.log(`${id} is here: ${files.length} files, ${bytes} bytes`)
    return 0
  } catch (err) {
    if (!(err instanceof PullError)) throw err
    const room =
      err instanceof NoRoomError ? { neededBytes: err.neededBytes, availableBytes: err.availableBytes } : {}
    await tell(options.terminationLog, { message: err.message, ...room })
    console.error(`nemoctl: ${err.message}`)
    return err instanceof NoRoomError ? NO_ROOM : FINAL
  }
}

/** Kubernetes hands on what a container writes there; elsewhere there is no such file. */
async function tell(path: string, facts: Record<string, unknown>): Promise<void> {
  await writeFile(path, JSON.stringify(facts), { flag: 'r+' }).catch(() => undefined)
}
