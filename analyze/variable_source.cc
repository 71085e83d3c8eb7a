#include "analyze/variable_source.h"

#include "analyze/unwind/variables.h"

namespace kdk {

VariableSource::VariableSource(Session& session)
    : session_(session), sources_(session.sources()), aids_(sources_.vmlinux, sources_.modules) {}

std::vector<FunctionVariables> VariableSource::read(const Backtrace& trace,
                                                    const std::optional<Registers>& start) {
  OwnerFinder& owners = session_.owners();
  return read_variables(*session_.kernel(), sources_, *aids_.aids().cfi, trace, start,
                        [&](uint64_t value) { return owners.annotate(value); });
}

}  // namespace kdk
