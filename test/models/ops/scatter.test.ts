import { describeGradients } from '#test/support/describe-gradients.ts';
import { scatterCases } from './cases/scatter.ts';

describeGradients('scatter', scatterCases);
