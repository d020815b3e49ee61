"""Registered models by class name. Written by tools/generate.py."""

from palate.models.match.alignrec import AlignRec as AlignRec
from palate.models.match.blend.model import Blend as Blend
from palate.models.match.bm3 import BM3 as BM3
from palate.models.match.bpr.model import BPR as BPR
from palate.models.match.clcrec import CLCRec as CLCRec
from palate.models.match.content_kernel.model import ContentKernel as ContentKernel
from palate.models.match.content_knn import ContentKNN as ContentKNN
from palate.models.match.ease import EASE as EASE
from palate.models.match.ease_content.model import EASEContent as EASEContent
from palate.models.match.freedom import FREEDOM as FREEDOM
from palate.models.match.item_knn import ItemKNN as ItemKNN
from palate.models.match.lattice import LATTICE as LATTICE
from palate.models.match.lgmrec import LGMRec as LGMRec
from palate.models.match.lightgcn import LightGCN as LightGCN
from palate.models.match.mmgcn import MMGCN as MMGCN
from palate.models.match.popularity import Popularity as Popularity
from palate.models.match.simplex import SimpleX as SimpleX
from palate.models.match.spectral import Spectral as Spectral
from palate.models.match.vbpr import VBPR as VBPR
from palate.models.rank.dcnv2 import DCNv2 as DCNv2
from palate.models.rank.deepfm import DeepFM as DeepFM
from palate.models.rank.din import DIN as DIN
from palate.models.rank.dsin import DSIN as DSIN
from palate.models.rank.fcn import FCN as FCN
from palate.models.rank.fm import FM as FM
from palate.models.rank.gbdt import GBDT as GBDT
from palate.models.rank.logistic import LogisticRegression as LogisticRegression
from palate.models.rank.news.dan import DAN as DAN
from palate.models.rank.news.dkn import DKN as DKN
from palate.models.rank.news.ebnr import EBNR as EBNR
from palate.models.rank.news.fim import FIM as FIM
from palate.models.rank.news.gerl import GERL as GERL
from palate.models.rank.news.imrec import IMRec as IMRec
from palate.models.rank.news.mm_rec import MMRec as MMRec
from palate.models.rank.news.naml import NAML as NAML
from palate.models.rank.news.nrms import NRMS as NRMS
from palate.models.rank.news.plm_nr import PLMNR as PLMNR
from palate.models.rank.pnn import PNN as PNN
from palate.models.rank.wide_deep import WideDeep as WideDeep
from palate.models.rerank.mmr import MMR as MMR
from palate.models.sequence.sasrec import SASRec as SASRec

__all__ = [
    "AlignRec",
    "BM3",
    "BPR",
    "Blend",
    "CLCRec",
    "ContentKNN",
    "ContentKernel",
    "DAN",
    "DCNv2",
    "DIN",
    "DKN",
    "DSIN",
    "DeepFM",
    "EASE",
    "EASEContent",
    "EBNR",
    "FCN",
    "FIM",
    "FM",
    "FREEDOM",
    "GBDT",
    "GERL",
    "IMRec",
    "ItemKNN",
    "LATTICE",
    "LGMRec",
    "LightGCN",
    "LogisticRegression",
    "MMGCN",
    "MMR",
    "MMRec",
    "NAML",
    "NRMS",
    "PLMNR",
    "PNN",
    "Popularity",
    "SASRec",
    "SimpleX",
    "Spectral",
    "VBPR",
    "WideDeep",
]
