// SPDX-License-Identifier: Apache-2.0
import type { Row } from '../types.ts'

/**
 * A row as templates see it: beside every column whose name no template can write after a dot stands the same value
 * under a name it can, lowercase with `_` for other characters. Names that are taken get `_1`, `_2` and so on.
 */
export function asItem(row: Row): Row {
  const names = Object.keys(row)
  const others = names.filter((name) => plainName(name) !== name)
  if (others.length === 0) return row
  const item = { ...row }
  for (const name of others) item[freeName(plainName(name), item)] = row[name]
  return item
}

const plainName = (name: string) => name.replace(/[^\p{L}\p{N}]/gu, '_').toLowerCase()

function freeName(wanted: string, item: Row): string {
  let name = wanted
  for (let count = 1; Object.hasOwn(item, name); count++) name = `${wanted}_${count}`
  return name
}
