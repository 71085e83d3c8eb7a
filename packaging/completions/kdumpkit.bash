# bash completion for kdumpkit's programs. What can be typed is read from their --help, so it is always theirs.

# The names in the section "Subcommands:" of a help text.
_kdumpkit_subcommands() {
  "$1" --help 2>/dev/null | sed -n '/^Subcommands:/,/^$/ s/^  \([a-z][a-z-]*\).*/\1/p'
}

# Every option of a help text: those that begin its lines. "--no-x{false}", "--level UINT", "-d,--level".
_kdumpkit_options() {
  "$@" --help 2>/dev/null | grep -E '^ {2,6}-' | sed -E 's/^ +//; s/[ {].*//' | tr ',' '\n' | grep -E '^-'
}

# The words of "--format TEXT:{kdump,flat,elf}".
_kdumpkit_values() {
  local option=$1
  shift
  "$@" --help 2>/dev/null | grep -E "^ {2,6}([^ ]*,)?$option " | sed -n 's/^[^:]*:{\([^}]*\)}.*/\1/p' | head -n 1 | tr ',' '\n'
}

_kdumpkit() {
  local program=$1 current=$2 previous=$3 subcommand='' word values
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || { subcommand=$word; break; }
  done
  local subcommands
  subcommands=$(_kdumpkit_subcommands "$program")
  if [[ -n $subcommands && -z $subcommand ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$subcommands $(_kdumpkit_options "$program")" -- "$current")
    return
  fi
  local call=("$program")
  [[ -z $subcommands ]] || call+=("$subcommand")
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_kdumpkit_options "${call[@]}")" -- "$current")
    return
  fi
  if [[ $previous == -* ]]; then
    values=$(_kdumpkit_values "$previous" "${call[@]}")
    if [[ -n $values ]]; then
      mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
      return
    fi
  fi
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$current")
}

complete -F _kdumpkit kdump-load kdump-capture kdump-analyze kdumpkit-mkinitramfs
