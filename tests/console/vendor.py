"""Rebuilds the console's copies of npm packages: `python -m tests.console.vendor`.

The packages are combined into one ES module. Each package is wrapped in a function that returns
the exports that the console uses, so the package's short names stay local to the function.
"""

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

CONSOLE = Path(__file__).parents[2] / "chalicelib" / "console"
PREACT = ("preact@11.2.0", "dist/preact.mjs", "MIT")
HTM = ("htm@3.1.1", "dist/htm.mjs", "Apache-2.0")
NAMES = ("Component", "createRef", "h", "render")
"""The exports of Preact that the console uses."""

COPY = "vendor.js"
LICENSES = "licenses.txt"


def build() -> dict[str, str]:
    """Return the contents of the copies, by file name. npm downloads uncached packages."""
    preact, preact_license = read(PREACT)
    code, _, exports = preact.rpartition("export{")
    local = dict(pair.split(" as ")[::-1] for pair in exports.rstrip("};\n").split(","))
    returned = ",".join(f"{name}:{local[name]}" for name in NAMES)
    htm, htm_license = read(HTM)
    htm_code = htm.replace("export default function", "return function")
    parts = (
        note(PREACT),
        f"export const {{ {', '.join(NAMES)} }} = (() => {{",
        code.strip(),
        f"return{{{returned}}}",
        "})();",
        note(HTM),
        "export const htm = (() => {",
        htm_code.strip(),
        "})();",
    )
    licenses = (preact_license, htm_license)
    return {COPY: "".join(f"{part}\n" for part in parts), LICENSES: "\n\n".join(licenses)}


def note(package: tuple[str, str, str]) -> str:
    """Return the comment that precedes a package's code."""
    return (
        f"// {package[0]}, license {package[2]}: see {LICENSES}. Built by tests/console/vendor.py."
    )


def read(package: tuple[str, str, str]) -> tuple[str, str]:
    """Return a package's module without the link to its source map, and the package's license."""
    name, module, _ = package
    files = download(name)
    code = files[module].partition("\n//# sourceMappingURL=")[0]
    return code, f"{name}\n\n{files['LICENSE'].strip()}\n"


def download(package: str) -> dict[str, str]:
    """Return the files of an npm package as text, by their path in the package."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--prefer-offline", package]
        packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        archive = (Path(folder) / packed.stdout.strip()).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        return {
            member.name.removeprefix("package/"): file.read().decode(errors="replace")
            for member in files
            if (file := files.extractfile(member))
        }


def main() -> None:
    """Write the copies to the console's folder."""
    for name, text in build().items():
        (CONSOLE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
