"""Which versions of which models answer now.

registry  the folder of models, and an immutable snapshot of what answers
served    one model: its versions, labels, and who gets which of them
roles     who of the versions answers by default, has traffic, or is a shadow
words     which names are to answer, by the last load or unload of each
policy    what ``serving.json`` beside the versions says: which are loaded, and their traffic
folder    what is seen of folders: that one holds no model, that the files of another have changed
catalog   the routes that list and reload the models
"""
