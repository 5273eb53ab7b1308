import { existsSync, globSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

// electron-builder reads its own configuration with these, so they are as much there as it is.
const requireFrom = createRequire(import.meta.resolve('electron-builder'))
const yaml = requireFrom('js-yaml') as { load(text: string): unknown }
const Ajv = requireFrom('ajv') as new (
  options: object,
) => {
  compile(schema: unknown): ((value: unknown) => boolean) & { readonly errors?: unknown }
}
const schema: unknown = requireFrom('app-builder-lib/scheme.json')

const repository = join(import.meta.dirname, '../..')

interface Target {
  readonly target: string
  readonly arch: readonly string[]
}
interface Platform {
  readonly target: readonly Target[]
  readonly files: readonly string[]
}
interface Configuration {
  readonly icon: string
  readonly asar: boolean
  readonly publish: null
  readonly npmRebuild: boolean
  readonly files: readonly string[]
  readonly asarUnpack: readonly string[]
  readonly extraResources: readonly { readonly from: string; readonly to: string }[]
  readonly electronFuses: Readonly<Record<string, boolean>>
  readonly directories: { readonly buildResources: string }
  readonly nsis: { readonly perMachine: boolean; readonly deleteAppDataOnUninstall: boolean }
  readonly win: Platform
  readonly mac: Platform
  readonly linux: Platform
}

const text = readFileSync(join(repository, 'electron-builder.yml'), 'utf8')
const configuration = yaml.load(text) as Configuration
const validate = new Ajv({ strict: false, allErrors: true }).compile(schema)

describe('electron-builder.yml', () => {
  it("is valid by electron-builder's own schema, which does notice mistakes", () => {
    expect(validate(configuration), JSON.stringify(validate.errors, null, 2)).toBe(true)
    expect(validate({ ...configuration, electronFuse: {} })).toBe(false)
    expect(validate({ ...configuration, electronFuses: { runAsNode: 'no' } })).toBe(false)
  })

  it('closes the doors that Electron leaves open', () => {
    expect(configuration.electronFuses).toEqual({
      runAsNode: false,
      enableCookieEncryption: true,
      enableNodeOptionsEnvironmentVariable: false,
      enableNodeCliInspectArguments: false,
      enableEmbeddedAsarIntegrityValidation: true,
      onlyLoadAppFromAsar: true,
      grantFileProtocolExtraPrivileges: false,
    })
    expect(configuration.asar).toBe(true)
  })

  it('names only what is there', () => {
    const paths = [configuration.icon, configuration.directories.buildResources]
    for (const path of [...paths, ...configuration.extraResources.map(({ from }) => from)]) {
      expect(existsSync(join(repository, path)), path).toBe(true)
    }
  })

  it('puts into the resources what the shell and the node look for there', () => {
    expect(configuration.extraResources.map(({ to }) => to).sort()).toEqual(['icons', 'licences', 'models', 'tray'])
    const packed = (path: string) =>
      configuration.extraResources.some(({ from }) => existsSync(join(repository, from, path)))
    for (const path of ['seedling/model.safetensors', 'givingTemplate@2x.png', 'icon-512.png', 'README.md']) {
      expect(packed(path), path).toBe(true)
    }
  })

  it('ships the built app alone: no sources, no tests', () => {
    expect(configuration.files.filter((pattern) => !pattern.startsWith('!'))).toEqual(['dist/**', 'package.json'])
  })

  it('leaves native code outside of the archive', () => {
    const natives = globSync('node_modules/{onnxruntime-node,better-sqlite3}/**/*.{node,dll,dylib,so,so.*}', {
      cwd: repository,
    })
    expect(natives.length).toBeGreaterThan(3)
    for (const path of natives) {
      const unpacked = path.endsWith('.node') || path.includes('node_modules/onnxruntime-node/bin/')
      expect(unpacked, path).toBe(true)
    }
    expect(configuration.asarUnpack).toEqual([
      '**/*.node',
      '**/node_modules/onnxruntime-node/bin/**',
      // TensorFlow's own library, where the optional packages are installed.
      '**/node_modules/@tensorflow/tfjs-node*/deps/**',
    ])
  })

  it('ships of TensorFlow.js what Node loads, its WASM files among it', () => {
    const excludes = configuration.files.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1))
    const shipped = (path: string) =>
      !excludes.flatMap(expandBraces).some((pattern) => matches(`node_modules/@tensorflow/${path}`, pattern))
    const loaded = globSync('@tensorflow/tfjs-{core,backend-wasm}/{package.json,dist/*.node.js,dist/*.wasm}', {
      cwd: join(repository, 'node_modules'),
    }).map((path) => path.replace('@tensorflow/', ''))
    expect(loaded.length).toBe(7)
    expect(loaded.filter((path) => !shipped(path))).toEqual([])
    expect(shipped('tfjs-core/dist/tf-core.es2017.js')).toBe(false)
    expect(shipped('tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.wasm')).toBe(false)
  })

  it.each(['win', 'mac', 'linux'] as const)('ships %s its own native code and none of the others', (platform) => {
    const own = { win: 'win32', mac: 'darwin', linux: 'linux' }[platform]
    const excludes = configuration[platform].files.map((pattern) => expandBraces(pattern.slice(1)))
    const folders = globSync('node_modules/onnxruntime-node/bin/napi-v6/*', { cwd: repository })
    const prebuilds = globSync('node_modules/better-sqlite3/prebuilds/*', { cwd: repository })
    for (const path of [...folders.map((folder) => `${folder}/x`), ...prebuilds]) {
      const shipped = !excludes.flat().some((pattern) => matches(path, pattern))
      expect(shipped, path).toBe(path.includes(`/${own}`))
    }
  })

  it('has native code for every target it names', () => {
    const folders = { win: 'win32', mac: 'darwin', linux: 'linux' } as const
    for (const [platform, folder] of Object.entries(folders)) {
      for (const { target, arch } of configuration[platform as keyof typeof folders].target) {
        for (const cpu of arch) {
          const onnx = join(repository, 'node_modules/onnxruntime-node/bin/napi-v6', folder, cpu)
          const sqlite = join(repository, 'node_modules/better-sqlite3/prebuilds', `${folder}-${cpu}.node`)
          expect([existsSync(onnx), existsSync(sqlite)], `${target} ${cpu}`).toEqual([true, true])
        }
      }
    }
  })

  it('makes the installers that were promised, for one user where there is a choice, and uploads nothing', () => {
    const targets = (platform: Platform) => platform.target.map(({ target }) => target)
    expect(targets(configuration.win)).toEqual(['nsis'])
    expect(targets(configuration.mac)).toEqual(['dmg', 'zip'])
    expect(targets(configuration.linux)).toEqual(['deb', 'rpm', 'AppImage'])
    expect(configuration.nsis).toMatchObject({ perMachine: false, deleteAppDataOnUninstall: false })
    expect([configuration.publish, configuration.npmRebuild]).toEqual([null, false])
  })
})

/** `a{b,c}d` -> `abd`, `acd`. */
function expandBraces(pattern: string): string[] {
  const [, before = '', inside, after = ''] = /^(.*?)\{([^}]*)\}(.*)$/.exec(pattern) ?? []
  return inside === undefined ? [pattern] : inside.split(',').flatMap((part) => expandBraces(before + part + after))
}

/** `**` stands for any path, `*` for anything within a name. */
function matches(path: string, pattern: string): boolean {
  const source = pattern
    .replace(/[.+^$()|[\]\\]/g, '\\$&')
    .replace(/\*\*\/|\*\*|\*/g, (star) => (star === '*' ? '[^/]*' : '.*'))
  return new RegExp(`^${source}$`).test(path)
}
