"""What a build will ask and cost, before it is started and while it is half done.

`replay` sends every question through the stages with the reply store as the only model: what the
store holds is known, what it lacks is bounded. `pilot` really builds a few questions, and
`forecast` carries what they took over to the others. `plan` puts it together.
"""
