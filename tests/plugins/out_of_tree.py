#!/usr/bin/env python3
"""Installs the build, builds the example plugin against what was installed, and steps its target.

Usage: out_of_tree.py CMAKE BUILD PREFIX COMPILER
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path


def run(*arguments, **more):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=500, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    cmake, build, prefix, compiler = sys.argv[1], *map(Path, sys.argv[2:4]), sys.argv[4]
    shutil.rmtree(prefix, ignore_errors=True)
    os.umask(0o022)  # root loads no plugin that others could change
    run(cmake, "--install", build, "--prefix", prefix)
    plugin = prefix / "build-example"
    run(cmake, "-S", prefix / "share/vmxscope/example-plugin", "-B", plugin, f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_INSTALL_PREFIX={prefix}")
    run(cmake, "--build", plugin)

    program = prefix / "bin/vmxscopectl"
    named = {**os.environ, "VMXSCOPE_PLUGIN_PATH": str(plugin)}
    plugins = [json.loads(line) for line in run(program, "plugins", "--json", env=named).splitlines()]
    example = [p for p in plugins if p.get("name") == "example"]
    assert example and example[0]["origin"] == str(plugin / "example.so"), plugins

    steps = run(program, "step", "example:walk", "-n", "12", "--json", "--evidence", "pdptr", env=named).splitlines()
    kinds = [json.loads(line)["kind"] for line in steps]
    assert kinds[0] == "l1-exit" and len(kinds) == 12 and kinds[2] == "nested-entry", kinds

    # Installed, it is found without being named.
    assert "example" not in run(program, "plugins")
    run(cmake, "--install", plugin)
    assert "example:walk" in run(program, "targets")
    shutil.rmtree(prefix)
    print("built, loaded, stepped, installed")


if __name__ == "__main__":
    main()
