# Three paths with references and a self reference, and two content-addressed derivations.
let
  bb = "/bin/busybox";
  mk = { name, script, deps ? [], ca ? false, outs ? ["out"] }: derivation ({
    inherit name; system = "x86_64-linux";
    builder = "/bin/sh"; args = [ "-c" script ];
    inherit deps;
    PATH = "/usr/bin:/bin";
    outputs = outs;
  } // (if ca then { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; } else {}));
in rec {
  a = mk { name = "lab-a-1.0"; script = "echo building a; mkdir -p $out/bin $out/share; echo '#!/bin/sh' > $out/bin/a; chmod +x $out/bin/a; ln -s bin/a $out/link; head -c 200000 /dev/zero > $out/share/zeros; seq 1 20000 > $out/share/seq"; };
  b = mk { name = "lab-b-1.0"; deps = [ a ]; script = "echo building b; mkdir -p $out; echo ${a}/bin/a > $out/dep; seq 1 30000 | sha256sum > $out/h"; };
  c = mk { name = "lab-c-1.0"; deps = [ b ]; script = "echo building c; mkdir -p $out; echo ${b}/dep $out > $out/dep"; };
  caA = mk { name = "lab-ca-a"; ca = true; script = "echo ca a; mkdir -p $out; seq 1 5000 > $out/seq"; };
  caB = mk { name = "lab-ca-b"; ca = true; script = "echo ca b; mkdir -p $out; echo ${caA} > $out/ref"; };
}
