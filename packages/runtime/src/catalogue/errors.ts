// SPDX-License-Identifier: Apache-2.0

/** Something about a model of the catalogue that its owner has to change; the message says what. */
export class CatalogueError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CatalogueError'
  }
}
