/** A GPU in software: Vulkan's loader and SwiftShader from Debian's chromium package, enough for WebGPU. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const folder = '/usr/lib/chromium'
const files = ['libvulkan.so.1', 'libvk_swiftshader.so', 'vk_swiftshader_icd.json']

export const hasSwiftShader = files.every((file) => existsSync(join(folder, file)))

/** For a new process: libraries are looked up with what it was started with. */
export function swiftShaderEnvironment(): NodeJS.ProcessEnv {
  const libraries = [folder, process.env['LD_LIBRARY_PATH']].filter((path) => path !== undefined).join(':')
  return { ...process.env, LD_LIBRARY_PATH: libraries, VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json') }
}
