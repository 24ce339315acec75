// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import type { Authority, Certificate } from './certificates.ts'
import { writeIfChanged } from './files.ts'

/** Writes a kubeconfig for one client certificate; everything it needs is inside the file. */
export async function writeKubeconfig(
  path: string,
  args: { server: string; authority: Authority; client: Certificate; user: string },
): Promise<string> {
  const base64 = async (file: string) => (await readFile(file)).toString('base64')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'lab',
    clusters: [
      {
        name: 'lab',
        cluster: {
          server: args.server,
          'certificate-authority-data': await base64(args.authority.ca.cert),
        },
      },
    ],
    users: [
      {
        name: args.user,
        user: {
          'client-certificate-data': await base64(args.client.cert),
          'client-key-data': await base64(args.client.key),
        },
      },
    ],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: args.user } }],
  }
  // JSON is YAML.
  await writeIfChanged(path, `${JSON.stringify(config, null, 2)}\n`)
  return path
}
