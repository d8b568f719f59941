"""What an integral costs in joules, and the best that so many joules buy.

devices     joules of one operation on four classes of device, and where the figures come from
operations  how many operations one call of an integrand takes, as XLA counts them
task        what is integrated, on what device, and the joules of one call
ladder      rules of more and more nodes, until they agree or the joules are spent
bill        what an integral cost, in one sentence
budget      an integral to an accuracy, or within a budget of joules
counter     joules that this machine counted, where its kernel lets one read them
"""
