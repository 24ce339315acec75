// SPDX-License-Identifier: Apache-2.0
import { SERVICE_NAMES, type ServiceName } from '@open-nemo/contract'
import { Argument, Command, Option } from 'commander'
import { HOOK_NAMES } from './commands/hook.ts'
import { addLabCommands } from './commands/lab-commands.ts'
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
  .command('collect-garbage')
  .description('let the data store remove what no branch, tag or pull request reaches any more')
  .option('--url <url>', 'data store to ask, where it is not that of NEMO_HOME')
  .action(async (options: { url?: string }) => {
    process.exitCode = await (await import('./commands/manage.ts')).collectGarbage(config(), options.url)
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

program
  .command('evaluate-job')
  .description('run one evaluation job and end, as a pod of its own does; exit code 0 when it completed')
  .argument('<id>', 'id of a job in the database of the evaluator')
  .action(async (id: string) => {
    process.exitCode = await (await import('./commands/evaluate-job.ts')).evaluateJobCommand(id, process.env)
  })

program
  .command('hook')
  .description('what the Jobs of the Helm charts run, inside the cluster')
  .addArgument(new Argument('<name>').choices(HOOK_NAMES))
  .action(async (name: string) => {
    process.exitCode = await (await import('./commands/hook.ts')).hook(name, process.env)
  })

const collect = (value: string, all: string[]) => [...all, value]

program
  .command('preflight')
  .description(
    'look for all that an installation on a cluster would lack; exit code 1 when something is missing',
  )
  .option('-n, --namespace <name>', "where it will go; the kubeconfig's unless given")
  .option('--infra <release>', 'release of nemo-infra that must be there')
  .option('--storage-class <name>', 'storage class of the volumes')
  .option('--gpus <n>', 'GPUs that one pod will ask for', Number, 0)
  .option(
    '--toleration <taint>',
    'taint that is tolerated, such as g5-gpu=true:NoSchedule; may be repeated',
    collect,
    [],
  )
  .option('--secret <name[=key]>', 'Secret that must be there; may be repeated', collect, [])
  .option('--images <file>', 'images that nodes must have, one a line, such as deploy/images.txt')
  .option('--image-registry <host>', 'registry that replaces that of every image')
  .action(async (options) => {
    process.exitCode = await (await import('./commands/preflight.ts')).preflightCommand(process.env, options)
  })

program
  .command('verify')
  .description(
    'look whether an installation on a cluster is well, with a call to each service; exit code 0 when it is',
  )
  .option('-n, --namespace <name>', "where it is; the kubeconfig's unless given")
  .option('--wait <seconds>', 'go on looking for so long', Number, 0)
  .action(async (options: { namespace?: string; wait: number }) => {
    process.exitCode = await (await import('./commands/verify.ts')).verify(process.env, options)
  })

program
  .command('operator')
  .description('run one of the operators, as their pods do, from environment variables')
  .addArgument(new Argument('<name>').choices(['nemo', 'training', 'nim']))
  .action(async (name: 'nemo' | 'training' | 'nim') => {
    await (await import('./commands/operator.ts')).operator(name)
  })

program
  .command('pull-model')
  .description(
    'bring a model onto a volume, as the pod of a NIMCache does; exit code 28 when it does not fit',
  )
  .argument('<id>', 'namespace/name of the repository')
  .option(
    '--endpoint <url>',
    'hub to fetch from, such as http://nemo-data-store:3000/v1/hf (else HF_ENDPOINT)',
  )
  .addOption(new Option('--type <type>', 'kind of repository').choices(['model', 'dataset']).default('model'))
  .option('--revision <revision>', 'branch, tag or commit', 'main')
  .option('--from <folder>', 'copy from this folder in place of a hub')
  .option('--to <folder>', 'folder that takes the files', '/model-store')
  .option('--capacity <bytes>', 'size of the volume, where its disk is larger')
  .option('--termination-log <file>', 'file for the outcome', '/dev/termination-log')
  .action(async (id: string, options) => {
    process.exitCode = await (await import('./commands/pull-model.ts')).pullModel(id, options, process.env)
  })

const models = program.command('models').description('the models that are known from the start')

models
  .command('add')
  .description('add a GGUF file, a Hugging Face folder, or an OpenAI-compatible upstream')
  .argument('<id>', 'namespace/name by which clients ask for it')
  .option('--path <path>', 'GGUF file or Hugging Face folder')
  .option('--url <url>', 'base URL of an OpenAI-compatible server, such as https://host/v1')
  .option('--model-id <id>', 'name of the model at that server, when it differs')
  .option('--api-key-env <variable>', 'environment variable that holds its API key')
  .option('--alias <id...>', 'further names')
  .option('--chat-template <file>', 'Jinja chat template in place of the one in the model')
  .option('--description <text>')
  .option('--license <id>')
  .action(async (id: string, options) => {
    await (await import('./commands/models.ts')).add(config(), id, options)
  })

models
  .command('list')
  .description('list them')
  .action(async () => {
    await (await import('./commands/models.ts')).list(config())
  })

models
  .command('remove')
  .description('take one out of the catalogue; its files stay')
  .argument('<id>')
  .action(async (id: string) => {
    await (await import('./commands/models.ts')).remove(config(), id)
  })

program
  .command('demo')
  .description('see the platform at work')
  .command('flywheel')
  .description(
    'upload real data, fine-tune, and compare with the base on unseen rows; exit code 0 when it is better',
  )
  .option('-o, --out <dir>', 'folder for the loss plot and the answers', '.')
  .option('--no-files', 'write no files')
  .action(async (options: { out: string; files: boolean }) => {
    process.exitCode = await (await import('./demo/flywheel.ts')).flywheel(config(), options)
  })

addLabCommands(program, config)

/** Errors whose message says what to change; all others are faults and are shown with their stack. */
const FOR_PEOPLE = [
  'CatalogueError',
  'CommandError',
  'ConfigError',
  'DemoError',
  'DiskSpaceError',
  'GgufError',
  'HookError',
  'KubeError',
  'LabError',
  'ListenError',
  'LockHeldError',
  'NewerSchemaError',
  'PythonError',
  'RegistryError',
  'UpstreamError',
]

try {
  await program.parseAsync()
} catch (err) {
  const forPeople = err instanceof Error && FOR_PEOPLE.includes(err.name)
  console.error(forPeople ? `nemoctl: ${err.message}` : err)
  process.exit(1)
}
// What the launcher watches keeps the process alive otherwise.
process.disconnect?.()
