// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '@open-nemo/runtime/python/index.ts'
import { writeIfChanged } from './files.ts'

export interface Certificate {
  cert: string
  key: string
}

export interface Authority {
  dir: string
  ca: Certificate
  /** A certificate signed by the authority; made once and kept. */
  issue(name: string, request: CertificateRequest): Promise<Certificate>
}

export interface CertificateRequest {
  commonName: string
  organization?: string
  /** `DNS:name` and `IP:address`; a certificate with any is for servers too. */
  names?: string[]
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3650']

/** A certificate authority of a cluster's own in `dir`, made with openssl on first use. */
export async function openAuthority(dir: string): Promise<Authority> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const config = join(dir, 'openssl.cnf')
  // Not the machine's: it would add extensions of its own.
  await writeIfChanged(config, '[req]\ndistinguished_name=dn\n[dn]\n')
  const ca = pair(dir, 'ca')
  if (!existsSync(ca.cert)) {
    await openssl(
      config,
      ca,
      '/CN=nemo-lab',
      ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,digitalSignature'],
      [],
    )
  }
  return {
    dir,
    ca,
    issue: async (name, { commonName, organization, names = [] }) => {
      const made = pair(dir, name)
      const wanted = JSON.stringify({ commonName, organization, names })
      const about = join(dir, `${name}.json`)
      if (existsSync(made.cert) && (await readFile(about, 'utf8').catch(() => '')) === wanted) return made
      const subject = `${organization ? `/O=${organization}` : ''}/CN=${commonName}`
      const extensions = [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        'extendedKeyUsage=clientAuth,serverAuth',
        ...(names.length > 0 ? [`subjectAltName=${names.join(',')}`] : []),
      ]
      await openssl(config, made, subject, extensions, ['-CA', ca.cert, '-CAkey', ca.key])
      await writeFile(about, wanted)
      return made
    },
  }
}

/** A key pair for signing service account tokens. */
export async function serviceAccountKey(dir: string): Promise<{ key: string; publicKey: string }> {
  const key = join(dir, 'service-accounts.key')
  const publicKey = join(dir, 'service-accounts.pub')
  if (!existsSync(publicKey)) {
    await runCommand('openssl', ['genrsa', '-out', key, '2048'], { env: process.env })
    await runCommand('openssl', ['rsa', '-in', key, '-pubout', '-out', publicKey], { env: process.env })
  }
  return { key, publicKey }
}

const pair = (dir: string, name: string): Certificate => ({
  cert: join(dir, `${name}.crt`),
  key: join(dir, `${name}.key`),
})

async function openssl(
  config: string,
  out: Certificate,
  subject: string,
  extensions: string[],
  signer: string[],
): Promise<void> {
  const added = extensions.flatMap((extension) => ['-addext', extension])
  const args = ['req', '-x509', '-config', config, ...KEY, '-subj', subject]
  await runCommand('openssl', [...args, '-keyout', out.key, '-out', out.cert, ...signer, ...added], {
    env: process.env,
  })
}
