// SPDX-License-Identifier: Apache-2.0
// Child process of kill.test.ts: writes transactions without end and acknowledges each on standard output.
import { openEmbedded } from './embedded.ts'
import { migrate } from './migrate.ts'

const [dir = '', first = '0'] = process.argv.slice(2)
const db = await openEmbedded(dir)
await migrate(db, 'kill', [
  {
    id: 1,
    name: 'init',
    sql: `CREATE TABLE kill.rows (id int PRIMARY KEY, filler text NOT NULL);
          CREATE TABLE kill.total (one int PRIMARY KEY, n int NOT NULL);
          INSERT INTO kill.total VALUES (1, 0)`,
  },
])
const filler = 'x'.repeat(2000)
process.stdout.write('open\n')
for (let id = Number(first); ; id++) {
  await db.transaction(async (tx) => {
    await tx.query('INSERT INTO kill.rows VALUES ($1, $2)', [id, filler])
    await tx.query('UPDATE kill.total SET n = n + 1')
  })
  process.stdout.write(`${id}\n`)
}
