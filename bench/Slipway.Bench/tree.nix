# 2,000 small text paths and one that refers to all of them. The label makes new ones, so that every run pushes something new.
{ label, n ? 2000 }:
let leaf = i: builtins.toFile "leaf-${toString i}" "leaf ${toString i} of ${label}, lorem ipsum dolor sit amet\n";
in builtins.toFile "root-${label}" (builtins.concatStringsSep "\n" (builtins.genList leaf n))
