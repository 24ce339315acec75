// SPDX-License-Identifier: Apache-2.0

/** Whether an error is one of the operating system with this code, such as ENOENT. */
export function isNodeError(err: unknown, ...codes: string[]): err is NodeJS.ErrnoException {
  return err instanceof Error && 'code' in err && codes.includes(String(err.code))
}
