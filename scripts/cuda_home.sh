#!/usr/bin/env bash
# Puts a CUDA home together from PyPI wheels, for building `--features cuda` where no CUDA toolkit is installed
# (a container, a build server without a GPU). See docs/cuda.md. `--help` says how.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/cuda_home.sh DIR [VERSION]

Fills DIR with what compiling and linking candle for CUDA needs: nvcc, headers, libraries, and a stand-in for the
driver library. Needs python3 with venv, a C compiler, and 1.5 GB of disk; no GPU, no root.

  DIR        folder to fill; it may exist already (running again repairs and updates it)
  VERSION    major.minor of the compiler and runtime, default 13.0; at most the CUDA version that `nvidia-smi` prints on the
             machine that is to run it (candle 0.11 knows 11.4 to 13.2)

environment:
  CUDA_COMPUTE_CAP   the GPU generation that kernels are compiled for, default 90 (Hopper: H100, H200);
                     80 is A100, 86 RTX 30, 89 RTX 40 and L4, 100 Blackwell

afterwards:
  source DIR/env.sh
  cargo build --release --features cuda --bin mmcollapse
TEXT
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    "") usage >&2; exit 2 ;;
esac
[ $# -le 2 ] || { usage >&2; exit 2; }

version=${2:-13.0}
compute_cap=${CUDA_COMPUTE_CAP:-90}
if ! [[ $version =~ ^13\.[0-9]+$ ]]; then
    echo "cuda_home: VERSION is '$version'; expected 13.MINOR, such as 13.0 (the wheels' layout differs before CUDA 13)" >&2
    exit 2
fi
for tool in python3 cc; do
    command -v "$tool" >/dev/null || { echo "cuda_home: $tool is not on PATH; install it and run this again" >&2; exit 1; }
done
mkdir -p "$1"
home=$(cd "$1" && pwd)

# The wheels go to a private venv, so that nothing of the machine's Python is touched. The math libraries and
# cccl follow version lines of their own; these are the ones that work together with every CUDA 13 compiler.
[ -x "$home/venv/bin/pip" ] || python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check \
    "nvidia-cuda-nvcc==$version.*" \
    "nvidia-cuda-crt==$version.*" \
    "nvidia-nvvm==$version.*" \
    "nvidia-cuda-runtime==$version.*" \
    "nvidia-cuda-nvrtc==$version.*" \
    "nvidia-cuda-cccl==13.0.*" \
    "nvidia-cublas==13.0.*" \
    "nvidia-curand==10.4.0.*"
wheels=$("$home/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia/cu13
[ -x "$wheels/bin/nvcc" ] || { echo "cuda_home: no nvcc in $wheels after installing the wheels" >&2; exit 1; }

# The toolkit's shape: bin, include, nvvm as they are; lib with the unversioned names that a linker looks for,
# which the wheels leave out. lib64 is where nvcc's own settings and some build scripts look.
for part in bin include nvvm; do
    ln -sfn "$wheels/$part" "$home/$part"
done
mkdir -p "$home/lib/stubs"
ln -sfn lib "$home/lib64"
for library in "$wheels"/lib/*.so.* "$wheels"/lib/*.a; do
    [ -e "$library" ] || continue
    name=$(basename "$library")
    ln -sf "$library" "$home/lib/$name"
    case $name in
        *.so.*) ln -sf "$name" "$home/lib/${name%%.so.*}.so" ;;
    esac
done

# libcuda.so belongs to the driver, so no wheel has it. A stand-in with every function that cuda.h declares
# satisfies the linker; each returns 100 (CUDA_ERROR_NO_DEVICE). It is only ever linked against: its soname
# makes a program look for the driver's own library when it starts.
{
    grep -oE '\bcu[A-Z][A-Za-z0-9_]*\b' "$wheels/include/cuda.h" | sort -u |
        awk '{ print "int " $1 "(void) { return 100; }" }'
} > "$home/stub.c"
cc -w -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$home/lib/stubs/libcuda.so" "$home/stub.c"
ln -sf libcuda.so "$home/lib/stubs/libcuda.so.1"

# LIBRARY_PATH tells the linker of both folders without any change to cargo's configuration. LD_LIBRARY_PATH is
# for running: the libraries, but never the stand-in, which would hide the driver's own library.
cat > "$home/env.sh" <<TEXT
export CUDA_HOME="$home" CUDA_PATH="$home" CUDA_ROOT="$home" CUDA_TOOLKIT_ROOT_DIR="$home"
export CUDA_COMPUTE_CAP="$compute_cap" NVCC="$home/bin/nvcc"
export PATH="$home/bin:\$PATH"
export LIBRARY_PATH="$home/lib:$home/lib/stubs\${LIBRARY_PATH:+:\$LIBRARY_PATH}"
export LD_LIBRARY_PATH="$home/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
TEXT

"$home/bin/nvcc" --version | tail -n 2
echo "CUDA home ready. Next: source $home/env.sh"
