// SPDX-License-Identifier: Apache-2.0
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** Where downloads and environments are kept between runs: outside the checkout, as for the platform itself. */
export function cacheDir(): string {
  const { NEMO_CACHE, XDG_CACHE_HOME } = process.env
  return resolve(NEMO_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'open-nemo'))
}
