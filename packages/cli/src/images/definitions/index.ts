// SPDX-License-Identifier: Apache-2.0
import type { ImageSpec } from '../image.ts'
import type { BuildContext } from './common.ts'
import { collectorImage, jupyterImage, milvusImage, minioImage, mlflowImage, postgresImage } from './infra.ts'
import { servicesImage } from './services.ts'
import { trainerImage } from './trainer.ts'

type Definition = (context: BuildContext) => ImageSpec | Promise<ImageSpec>

/** The images of ours, which a registry needs before the charts can be installed from it. */
export const OWN_IMAGES: Record<string, Definition> = {
  services: servicesImage,
  trainer: trainerImage,
  mlflow: mlflowImage,
  jupyter: jupyterImage,
  minio: minioImage,
}

/** Stand-ins for official images, from packages, for a lab that reaches no registry of images. */
export const LAB_IMAGES: Record<string, Definition> = {
  postgres: postgresImage,
  milvus: milvusImage,
  'otel-collector': collectorImage,
}
