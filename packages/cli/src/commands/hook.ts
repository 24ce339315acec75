// SPDX-License-Identifier: Apache-2.0

type Env = Record<string, string | undefined>

/** What a Job of the charts does once. Returns the exit code; its output is what people see of a failed hook. */
export type Hook = (env: Env) => Promise<number>

/** The hooks by the name that the charts give. Each is loaded when it runs, since most need few of our packages. */
const HOOKS: Record<string, () => Promise<Hook>> = {
  passwords: async () => (await import('../hooks/passwords.ts')).passwords,
  preflight: async () => (await import('../hooks/preflight.ts')).preflight,
  crds: async () => (await import('../hooks/crds.ts')).crds,
  'pg-secrets': async () => (await import('../hooks/pg-secrets.ts')).pgSecrets,
  scc: async () => (await import('../hooks/scc.ts')).sccHook,
  cleanup: async () => (await import('../hooks/cleanup.ts')).cleanup,
}

/** Names that `nemoctl hook` takes. */
export const HOOK_NAMES: readonly string[] = Object.keys(HOOKS)

/** `nemoctl hook <name>`: runs one hook of the charts, inside the cluster, and returns its exit code. */
export async function hook(name: string, env: Env): Promise<number> {
  const load = HOOKS[name]
  if (!load) throw new Error(`no hook ${name}; there are ${HOOK_NAMES.join(', ')}`)
  return (await load())(env)
}
