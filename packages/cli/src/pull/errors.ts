// SPDX-License-Identifier: Apache-2.0

/** The model cannot be brought; trying again without a change does not help. */
export class PullError extends Error {
  override name = 'PullError'
}

/** The repository is not there: not yet, or not at all. */
export class NotThereError extends PullError {}

/** The volume is too small for the model. */
export class NoRoomError extends PullError {
  readonly neededBytes: number
  readonly availableBytes: number

  constructor(id: string, neededBytes: number, availableBytes: number) {
    const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`
    super(
      `${id} needs ${neededBytes} bytes (${gib(neededBytes)}) and the volume has ${availableBytes} ` +
        `(${gib(availableBytes)}) left: raise storage.pvc.size, or choose a smaller model`,
    )
    this.neededBytes = neededBytes
    this.availableBytes = availableBytes
  }
}
