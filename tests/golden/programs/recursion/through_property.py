class Node:
    @property
    def path(self):
        return self.path + "/"


Node().path
