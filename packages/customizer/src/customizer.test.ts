// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { clusterSeeds } from './entities/cluster-seeds.ts'
import { seedCatalogue } from './entities/seeds.ts'
import { requireWeights } from './entities/targets.ts'
import { newRepo } from './testing/fake-platform.ts'
import { type Body, CONFIG, EMBEDDER, type Harness, startHarness, testCatalogue } from './testing/harness.ts'

let db: Database
let h: Harness
const V1 = '/v1/customization'
const LORA = { finetuning_type: 'lora' }
const OPTION = { training_type: 'sft', finetuning_type: 'lora', num_gpus: 1, micro_batch_size: 1 }
const TARGET = 'smollm2/smollm2-135m-instruct@1.0'

before(async () => {
  db = await openMemoryDatabase()
  // Jobs stay where they are: the launcher never gets ready.
  h = await startHarness(db, { launcher: { prepare: () => new Promise(() => {}) } })
})
after(async () => {
  await h.close()
  await db.close()
})

const create = (change: Record<string, unknown> = {}) =>
  h.call('POST', `${V1}/jobs`, { config: CONFIG, dataset: 'demo/rows', hyperparameters: LORA, ...change })

test('targets and configs of the catalogue are there, and the first config works', async () => {
  const { body } = await h.call('GET', `${V1}/configs`)
  assert.equal(body.data[0].name, 'smollm2-135m-instruct@v1.0.0+cpu')
  assert.equal(body.data[0].target.base_model, 'smollm2/smollm2-135m-instruct')
  assert.equal(body.data[0].target.status, 'ready')
  assert.equal(body.pagination.total_results, 3)
  const target = await h.call('GET', `${V1}/targets/${TARGET}`)
  assert.equal(target.body.precision, 'bf16-mixed')
  assert.match(target.body.id, /^customization_target-/)
  assert.equal((await create({ config: `smollm2/${body.data[0].name}` })).status, 200)
})

test('a created job answers as the recorded server does', async () => {
  const hyperparameters = {
    finetuning_type: 'lora',
    epochs: 2,
    batch_size: 16,
    lora: { adapter_dim: 32 },
    novel: 1,
  }
  const dataset = { namespace: 'demo', name: 'rows' }
  const { status, body } = await create({ hyperparameters, dataset, output_model: 'demo/out', project: 'p' })
  assert.equal(status, 200)
  assert.match(body.id, /^cust-/)
  assert.equal(body.config, CONFIG)
  assert.equal(body.dataset, 'demo/rows')
  assert.equal(body.output_model, `demo/out@${body.id}`)
  assert.deepEqual(
    [body.namespace, body.status, body.project, body.warnings],
    ['default', 'created', 'p', null],
  )
  assert.deepEqual(body.config_snapshot.training_option.finetuning_type, 'lora')
  assert.deepEqual(
    [body.config_snapshot.precision, body.config_snapshot.prompt_template],
    ['bf16-mixed', '{prompt} {completion}'],
  )
  assert.deepEqual(
    [body.hyperparameters.training_type, body.hyperparameters.warmup_steps, body.hyperparameters.novel],
    ['sft', 200, 1],
  )
  assert.deepEqual(body.hyperparameters.lora, { adapter_dim: 32, alpha: 16, adapter_dropout: 0 })
  const { status_logs, ...details } = body.status_details
  assert.equal(status_logs[0].message, 'created')
  assert.deepEqual(
    { ...details, created_at: '', updated_at: '' },
    {
      created_at: '',
      updated_at: '',
      elapsed_time: 0,
      steps_completed: 0,
      epochs_completed: 0,
      percentage_done: 0,
    },
  )
  assert.match(body.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  const flat = await h.call('GET', `${V1}/jobs/${body.id}/status`)
  assert.ok(['created', 'pending'].includes(flat.body.status))
  assert.equal((await h.call('GET', `${V1}/jobs/${body.id}/container-logs`)).body.error, null)
})

test('the hyperparameters of NVIDIA’s documentation are taken, with a warning where they teach nothing', async () => {
  const { status, body } = await create({
    hyperparameters: {
      ...LORA,
      log_every_n_steps: 0,
      val_check_interval: 0.01,
      weight_decay: 0,
      sft: { hidden_dropout: 1, attention_dropout: 1, ffn_dropout: 1 },
      lora: { adapter_dim: 8, adapter_dropout: 1 },
    },
  })
  assert.equal(status, 200, JSON.stringify(body))
  assert.equal(body.hyperparameters.log_every_n_steps, 10)
  const told = body.warnings.map((one: { message: string }) => one.message)
  assert.ok(told.includes('adapter_dropout, attention_dropout, hidden_dropout is 1'), told.join('; '))
})

test('an output name that is taken answers 409, also by a job that has not ended', async () => {
  h.platform.entities.set('models/demo/taken@v1', {})
  const taken = await create({ output_model: 'demo/taken@v1' })
  assert.equal(taken.status, 409)
  assert.match(taken.body.detail, /^model or dataset with name demo\/taken@v1 already exists/)
  h.platform.repos.set('model/demo/tagged', { ...newRepo({}), tags: { v1: 'c0' } })
  assert.equal((await create({ output_model: 'demo/tagged@v1' })).status, 409)
  assert.equal((await create({ output_model: 'demo/soon@v1' })).status, 200)
  assert.equal((await create({ output_model: 'demo/soon@v1' })).status, 409)
})

test('what cannot be done is refused at creation, naming what works', async () => {
  const refused = async (change: Record<string, unknown>, status: number, text: RegExp) => {
    const answer = await create(change)
    assert.equal(answer.status, status, JSON.stringify(answer.body))
    assert.match(JSON.stringify(answer.body.detail), text)
  }
  for (const training_type of ['distillation', 'grpo']) {
    await refused({ hyperparameters: { ...LORA, training_type } }, 400, /"sft.* with finetuning_type .*lora/)
  }
  const kinds = ['lora', 'lora_merged', 'all_weights'].flatMap((finetuning_type) =>
    ['sft', 'dpo'].map((training_type) => ({ finetuning_type, training_type })),
  )
  for (const hyperparameters of kinds) assert.equal((await create({ hyperparameters })).status, 200)
  await refused({ config: 'no/such@v1' }, 404, /config no\/such@v1 not found. There are smollm2\/.*GET/)
  const llama = 'meta/llama-3.2-1b-instruct@v1.0.0+A100'
  await refused({ config: llama }, 404, /and with NEMO_LLAMA_ALIASES=true one of this name; GET/)
  await refused({ dataset: 'demo/none' }, 404, /dataset demo\/none not found/)
  h.platform.repos.set('dataset/demo/testing', newRepo({ 'testing/a.jsonl': '{}' }))
  await refused({ dataset: 'demo/testing' }, 400, /no \.jsonl file in its folder training\//)
  await refused({ hyperparameters: {} }, 422, /finetuning_type/)
  await refused({ hyperparameters: { ...LORA, epochs: 0 } }, 422, /epochs/)
  await refused({ hyperparameters: { ...LORA, learning_rate: -1 } }, 422, /learning_rate/)
  await refused({ hyperparameters: { ...LORA, min_learning_rate: 0.5 } }, 422, /lower than learning_rate/)
  await refused({ hyperparameters: { ...LORA, lora: { adapter_dropout: 2 } } }, 422, /adapter_dropout/)
  await refused({ output_model: 'demo/../x' }, 422, /output_model/)
  await refused({ description: 'a\0b' }, 422, /U\+0000/)
  await refused({ custom_fields: { a: ['\ud800'] } }, 422, /surrogate/)
  await refused({ output_model: 'demo/a b' }, 422, /output_model/)
})

test('an embedding model is tuned as a whole model only, and models that rank not at all', async () => {
  const embed = (hyperparameters: object, change: object = {}) =>
    create({ config: EMBEDDER, hyperparameters, ...change })
  const config = (await h.call('GET', `${V1}/configs/${EMBEDDER}`)).body
  const offered = config.training_options.map((o: Body) => `${o.training_type} ${o.finetuning_type}`)
  assert.deepEqual(offered, ['sft all_weights', 'sft lora_merged'])
  for (const finetuning_type of ['all_weights', 'lora_merged']) {
    const { status, body } = await embed({ finetuning_type })
    assert.deepEqual([status, body.hyperparameters.batch_size], [200, 32], JSON.stringify(body))
  }
  for (const wrong of [LORA, { finetuning_type: 'all_weights', training_type: 'dpo' }]) {
    const { status, body } = await embed(wrong)
    assert.deepEqual([status, body.code], [400, 'EMBEDDING_TRAINING'])
    assert.match(body.detail, /(sft with lora|dpo with all_weights) does not tune one.*"lora_merged"/)
  }
  const all = { finetuning_type: 'all_weights' }
  const none = { in_batch_negatives: false, num_hard_negatives: 0 }
  assert.equal((await embed(all, { dataset_parameters: none })).body.code, 'NO_NEGATIVES')
  for (const wrong of [{ negative_sample_strategy: 'best' }, { num_hard_negatives: -1 }]) {
    assert.equal((await embed(all, { dataset_parameters: wrong })).status, 422)
  }
  const catalogue = testCatalogue()
  const [model] = catalogue.models
  assert.ok(model)
  const ranker = { ...model, task: 'ranking' as const }
  const resolve = (name: string) => (name === 'acme/ranker' ? ranker : catalogue.resolve(name))
  const both = { ...catalogue, models: [...catalogue.models, ranker], resolve }
  for (const name of ['acme/ranker', 'acme/other']) {
    assert.throws(() => requireWeights(both, name), { code: 'BASE_MODEL_UNKNOWN' })
  }
  assert.equal(requireWeights(both, 'meta/llama'), 'meta/llama')
  assert.equal(requireWeights(both, 'acme/embedder@1.0'), 'acme/embedder@1.0')
})

test('hardware settings and aliases are warnings', async () => {
  await h.call('POST', `${V1}/configs`, {
    name: 'big@v1',
    namespace: 'team',
    target: TARGET,
    max_seq_length: 512,
    training_options: [{ ...OPTION, num_gpus: 8, tensor_parallel_size: 2 }],
  })
  const big = await create({ config: 'team/big@v1' })
  assert.match(big.body.warnings[0].message, /num_gpus, tensor_parallel_size ignored/)
  const alias = await create({ config: 'meta/llama@v1.0.0+A100' })
  assert.match(alias.body.warnings[0].message, /meta\/llama stands for smollm2\/smollm2-135m-instruct/)
})

test('configs are referred to in every form', async () => {
  const same = async (config: unknown) => (await create({ config })).body.config
  assert.equal(await same('smollm2/smollm2-135m-instruct'), CONFIG)
  assert.equal(await same('smollm2-135m-instruct@v1.0.0+cpu'), CONFIG)
  assert.equal(await same({ namespace: 'smollm2', name: 'smollm2-135m-instruct@v1.0.0+cpu' }), CONFIG)
  const inline = { name: 'mine', target: TARGET, max_seq_length: 256, training_options: [OPTION] }
  const { body } = await create({ config: inline })
  assert.deepEqual([body.config, body.config_snapshot.max_seq_length], ['default/mine', 256])
})

test('users make, change and delete targets and configs of their own', async () => {
  const target = { name: 'own@1.0', namespace: 'team', base_model: 'smollm2/smollm2-135m-instruct' }
  const made = await h.call('POST', `${V1}/targets`, { ...target, num_parameters: 1000, precision: 'bf16' })
  assert.deepEqual([made.status, made.body.enabled, made.body.status], [200, true, 'ready'])
  assert.equal(
    (await h.call('POST', `${V1}/targets`, { ...target, num_parameters: 1, precision: 'bf16' })).status,
    409,
  )
  const unknown = { num_parameters: 1, precision: 'bf16', base_model: 'meta/llama-405b' }
  assert.match((await h.call('POST', `${V1}/targets`, unknown)).body.detail, /smollm2\/smollm2-135m-instruct/)

  const config = { name: 'a/b@v1', namespace: 'team', target: 'team/own@1.0', max_seq_length: 128 }
  const path = `${V1}/configs/team/a/b@v1`
  assert.equal((await h.call('POST', `${V1}/configs`, { ...config, training_options: [OPTION] })).status, 200)
  const dpo = { training_type: 'dpo', finetuning_type: 'lora', num_gpus: 1, micro_batch_size: 1 }
  const patched = await h.call('PATCH', path, {
    add_training_options: [dpo],
    description: 'd',
    max_seq_length: null,
  })
  assert.equal(patched.body.training_options.length, 2)
  assert.deepEqual([patched.body.max_seq_length, patched.body.description], [128, 'd'])
  const none = { remove_training_options: [dpo, OPTION] }
  assert.equal((await h.call('PATCH', path, none)).status, 422)

  await h.call('PATCH', `${V1}/targets/team/own@1.0`, { enabled: false })
  const names = async (query: string) =>
    (await h.call('GET', `${V1}/configs?${query}`)).body.data.map((c: Body) => c.name)
  assert.ok(!(await names('page_size=100')).includes('a/b@v1'))
  assert.deepEqual(await names('filter[enabled]=false'), ['a/b@v1'])
  assert.equal((await create({ config: 'team/a/b@v1' })).body.code, 'TARGET_DISABLED')
  assert.equal((await h.call('DELETE', path)).body.message, 'Resource deleted successfully.')
  assert.equal((await h.call('GET', path)).status, 404)
  assert.equal((await h.call('DELETE', `${V1}/targets/team/own@1.0`)).status, 200)
  assert.equal((await h.call('DELETE', `${V1}/targets/${TARGET}`)).body.code, 'TARGET_IN_USE')
})

test('jobs are filtered, sorted and paged', async () => {
  const total = async (query: string) => {
    const { status, body } = await h.call('GET', `${V1}/jobs?${query}`)
    return status === 200 ? body.pagination.total_results : body.detail[0].msg
  }
  await create({ namespace: 'only', hyperparameters: { ...LORA, epochs: 7 } })
  assert.equal(await total('filter[namespace]=only'), 1)
  assert.equal(await total('filter[epochs]=7&filter[finetuning_type]=lora&filter[batch_size]=8'), 1)
  assert.equal(await total('filter[status]=completed'), 0)
  assert.equal(await total('filter[dataset]=hf://datasets/demo/rows&filter[namespace]=only'), 1)
  assert.ok((await total('filter[created_at][gte]=2020-01-01')) > 3)
  assert.equal(await total('filter[created_at][gte]=2999-01-01T00:00:00Z'), 0)
  assert.match(await total('filter[nonsense]=1'), /cannot filter by "nonsense"/)
  const newest = await h.call('GET', `${V1}/jobs?sort=-created_at&page_size=1`)
  assert.equal(newest.body.data[0].namespace, 'only')
  const beyond = await h.call('GET', `${V1}/jobs?page=900`)
  assert.deepEqual([beyond.status, beyond.body.data], [200, []])
})

test('jobs that are unknown or still active are told apart', async () => {
  for (const [method, path] of [
    ['GET', 'nope'],
    ['GET', 'nope/status'],
    ['GET', 'a%00b'],
    ['POST', 'nope/cancel'],
    ['DELETE', 'nope'],
  ] as const) {
    assert.equal((await h.call(method, `${V1}/jobs/${path}`)).status, 404, `${method} ${path}`)
  }
  const { body } = await create()
  const active = await h.call('DELETE', `${V1}/jobs/${body.id}`)
  assert.deepEqual([active.status, active.body.code], [409, 'JOB_ACTIVE'])
  await h.call('POST', `${V1}/jobs/${body.id}/cancel`)
  await h.waitFor(body.id, 'cancelled')
  assert.equal((await h.call('DELETE', `${V1}/jobs/${body.id}`)).body.id, body.id)
})

test('seeds follow the catalogue, but not over what a user changed or deleted', async () => {
  const path = `${V1}/configs/meta/llama@v1.0.0+A100`
  await h.call('DELETE', path)
  await h.call('PATCH', `${V1}/targets/meta/llama@2.0`, { description: 'mine' })
  const catalogue = testCatalogue()
  const [model] = catalogue.models
  const changed = { ...catalogue, models: model ? [{ ...model, description: 'new words' }] : [] }
  await seedCatalogue(db, changed)
  assert.equal((await h.call('GET', path)).status, 404)
  assert.equal((await h.call('GET', `${V1}/targets/meta/llama@2.0`)).body.description, 'mine')
  assert.equal((await h.call('GET', `${V1}/targets/${TARGET}`)).body.description, 'new words')
})

test("a cluster's file brings targets and configs, and says of weights that are not here why", async () => {
  const file = `
customizationTargets:
  overrideExistingTargets: true
  targets:
    acme/tuned@1.0: {base_model: meta/llama, enabled: false, num_parameters: 1000, precision: bf16}
    meta/big@2.0: {model_uri: 'ngc://nvidia/nemo/big:2.0', num_parameters: 8000000000, precision: bf16-mixed}
    acme/broken@1.0: {precision: bf16}
customizationConfigTemplates:
  templates:
    acme/tuned@v1.0.0+gpu:
      target: acme/tuned@1.0
      max_seq_length: 1024
      prompt_template: '{prompt} {completion}'
      training_options: [{training_type: sft, finetuning_type: lora, num_gpus: 1, micro_batch_size: 4}]
`
  const dir = await mkdtemp(join(tmpdir(), 'nemo-cluster-'))
  const path = join(dir, 'config.yaml')
  await writeFile(path, file)
  const warnings: unknown[] = []
  const log = { warn: (...said: unknown[]) => void warnings.push(said) }
  const seed = async () => seedCatalogue(db, testCatalogue(), await clusterSeeds(path, testCatalogue(), log))
  const get = async (name: string) => (await h.call('GET', `${V1}/targets/${name}`)).body
  await seed()
  assert.match(JSON.stringify(warnings), /acme\/broken@1.0/)
  const { status, enabled, model_path } = await get('acme/tuned@1.0')
  assert.deepEqual([status, enabled, model_path], ['ready', false, 'smollm2/smollm2-135m-instruct'])
  const big = await get('meta/big@2.0')
  assert.equal(big.status, 'failed')
  assert.match(big.status_message, /NGC.*models\.json.*smollm2/)
  const config = (await h.call('GET', `${V1}/configs/acme/tuned@v1.0.0+gpu`)).body
  assert.equal(config.target.base_model, 'meta/llama')
  // The file has the last word on targets at each start, as it asks for.
  await h.call('PATCH', `${V1}/targets/acme/tuned@1.0`, { enabled: true })
  await seed()
  assert.equal((await get('acme/tuned@1.0')).enabled, false)
  const mended = (await h.call('PATCH', `${V1}/targets/meta/big@2.0`, { base_model: 'meta/llama' })).body
  assert.equal(mended.status, 'ready')
  await writeFile(path, '')
  await seed()
  assert.equal((await h.call('GET', `${V1}/targets/acme/tuned@1.0`)).status, 404)
  await rm(dir, { recursive: true })
})
