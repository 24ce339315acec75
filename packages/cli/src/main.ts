// SPDX-License-Identifier: Apache-2.0
import { SERVICE_NAMES, type ServiceName } from '@open-nemo/contract'
import { ConfigError, ListenError, LockHeldError, NewerSchemaError } from '@open-nemo/runtime'
import { Argument, Command } from 'commander'
import { platformConfig } from './platform/config.ts'

const program = new Command('nemoctl')
  .description(
    'Open NeMo Microservices on one machine. Settings come from NEMO_* variables (docs/configuration.md).',
  )
  .version('0.1.0')

const config = () => platformConfig(process.env)

program
  .command('up')
  .description('start all services in one process')
  .option('-d, --detach', 'start in the background and return when it answers')
  .action(async (options: { detach?: boolean }) => {
    const { up, upDetached } = await import('./commands/up.ts')
    await (options.detach ? upDetached(config()) : up(config()))
  })

program
  .command('down')
  .description('stop the platform that holds NEMO_HOME')
  .action(async () => {
    process.exitCode = await (await import('./commands/manage.ts')).down(config())
  })

program
  .command('status')
  .description('show what runs on NEMO_HOME; exit code 0 when every service is ready')
  .action(async () => {
    process.exitCode = await (await import('./commands/manage.ts')).status(config())
  })

program
  .command('logs')
  .description("print the platform's log")
  .option('-f, --follow', 'go on as it grows', false)
  .option('--json', 'print the records as they are', false)
  .action(async (options: { follow: boolean; json: boolean }) => {
    await (await import('./commands/manage.ts')).logs(config(), options)
  })

program
  .command('serve')
  .description('run one service alone, as pods do, from environment variables')
  .addArgument(new Argument('<service>').choices(SERVICE_NAMES))
  .action(async (service: ServiceName) => {
    const { serveOne } = await import('./platform/serve-one.ts')
    const { untilSignal } = await import('./commands/until-signal.ts')
    const running = await serveOne(service, process.env)
    console.log(`${service} answers at ${running.url}`)
    await untilSignal(running.stop)
  })

try {
  await program.parseAsync()
} catch (err) {
  const expected = [ConfigError, ListenError, LockHeldError, NewerSchemaError].some(
    (kind) => err instanceof kind,
  )
  console.error(expected && err instanceof Error ? `nemoctl: ${err.message}` : err)
  process.exit(1)
}
// What the launcher watches keeps the process alive otherwise.
process.disconnect?.()
